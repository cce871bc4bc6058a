// Giving up privileges. Capabilities are a thread's own, so this is done before there are others.
#ifndef CSYS_PRIVILEGE_H
#define CSYS_PRIVILEGE_H

#include <stdint.h>

// Gives up every capability but those in the set keep (bit n is capability n), for good: effective,
// permitted, inheritable, ambient and bounding. Returns 0, or an errno.
// Source: capabilities(7).
int csys_keep_capabilities(uint64_t keep);

// Lets threads that are SCHED_IDLE become ordinary ones again without a privilege. Returns 0, or an
// errno.
// Source: setrlimit(2), RLIMIT_NICE; sched(7).
int csys_allow_ordinary_scheduling(void);

// No program that this process executes gets privileges by its file; the process leaves no core
// and lets no other of the same user trace it. Returns 0, or an errno.
// Source: prctl(2), PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE.
int csys_close_up(void);

// Whether the directory that path lies in can be searched with no capabilities but those in a set.
// Asks path itself nothing.
// Source: faccessat(2), AT_EACCESS.
int csys_reaches_with(uint64_t capabilities, const char *path);

#endif
