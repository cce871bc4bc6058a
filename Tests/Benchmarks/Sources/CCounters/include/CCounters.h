// How often the calling thread has allocated and counted references.
//
// The functions of libc and of the Swift runtime are defined once more in the program, where the
// linker finds them first; each counts and then calls what it stands for.
#ifndef CCOUNTERS_H
#define CCOUNTERS_H

struct ccounters {
    long allocations, retains, releases;
};

// Since the thread began.
struct ccounters ccounters_now(void);

#endif
