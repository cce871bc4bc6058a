// Threads of this process: where they run, what they are called, what they wait for.
#ifndef CSYS_THREADS_H
#define CSYS_THREADS_H

#include <stdint.h>

// Pins the calling thread to a CPU: 0, or an errno (a CPU that is offline: EINVAL).
int csys_pin_to_cpu(unsigned cpu);

// Names the calling thread; at most 15 bytes.
void csys_name_thread(const char *name);

// Makes the calling thread take the CPU from nobody when it wakes (SCHED_BATCH), and get no SIGPIPE.
void csys_quiet_thread(void);

// Whether a thread of this process sleeps in a call that waits for requests of the kernel's: io_uring_enter(2) or
// read(2), poll(2) and ppoll(2) (proc_pid_syscall(5)). Returns 1 or 0, and -1 where /proc does not say.
//
// A process that is not dumpable and not root's may not read that. There any sleep counts, which is also one of a
// thread that has a request and waits for a lock.
int csys_waits_for_requests(int32_t thread);

#endif
