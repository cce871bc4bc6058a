// Running a function store by store, to see what a process leaves that dies in between.
#ifndef CPOSIX_STEPS_H
#define CPOSIX_STEPS_H

#include <stddef.h>
#include <stdint.h>

// Memory that is shared, at a page.
struct cps_memory {
    void *start;
    size_t bytes;
};

// Calls body in a child process and, in this one, look with the address after each instruction that has
// written to one of the areas. The child waits meanwhile. Where look answers other than 0 the child is
// killed. The answer is how often look was called, or a negative errno: -EPROTO when the child died,
// -ENOTSUP on a processor on which this is not known.
//
// In the child the areas are read-only. A store faults; the handler makes the page writable, and has the
// processor trap after one instruction, which is the store.
// The body answers 0, or what the negative answer is to be.
int64_t cps_step_stores(const struct cps_memory *areas, int32_t count, int32_t (*body)(void *),
                        int32_t (*look)(void *, uint64_t), void *context);

// Calls body in a child process and kills that after so many nanoseconds. The answer is 1 when it was
// killed, 0 when it had come to its end, or a negative errno.
int64_t cps_kill_after(int64_t nanoseconds, int32_t (*body)(void *), void *context);

#endif
