// The guardian: a process that holds the memory of a mount, starts its server, and starts it again when it
// dies.
#ifndef CSYS_GUARDIAN_H
#define CSYS_GUARDIAN_H

struct csys_guarded {
    char *const *first; // arguments of the first server
    char *const *again; // of every other, which begins with what the memory holds
    char *const *environment;
    const void *mask;  // sigset_t of the servers
    int memory;        // the memory file
    int memory_target; // the number that servers have it on
    int ready_target;  // the number on which servers say that they are ready
    int told;          // gets a byte when the first server is ready, and then the guardian is in the background; -1
    int most_deaths;   // within seconds, after which no server is started any more
    int seconds;
};

// Starts servers until one ends by itself, and returns its exit status. A signal that ends a process is
// passed on to the server. Where no server can be had any more, it holds the memory until such a signal
// comes, and returns 2. Allocates nothing.
int csys_guard(const struct csys_guarded *plan);

#endif
