// What of signals and priorities the Swift modules show differently, or not at all, once others
// that carry the same headers are imported.
#ifndef CSYS_SIGNALS_H
#define CSYS_SIGNALS_H

#include <stdbool.h>

// What this process does on a signal, to be restored once; NULL without memory.
void *csys_signal_action(int signal);

// Restores it. The action is used up.
void csys_restore_signal_action(int signal, void *action);

// Holds SIGXFSZ and SIGPIPE back from the calling thread: what a write of its own would send it.
// Returns which of them were not held back before.
int csys_hold_file_signals(void);

// Takes off those that came meanwhile, and no longer holds back what `held` names.
void csys_drop_file_signals(int held);

// Makes this process ignore SIGXFSZ, so that a write beyond RLIMIT_FSIZE is EFBIG and no end, also in
// a thread that writes a line of its log. For a program, not for a library. Commands that csys_start
// starts have the signal as this process had it.
void csys_ignore_file_size_signal(void);

// Lets a fault of this process end it at once, where the Swift runtime would have a backtrace made; but
// not where SWIFT_BACKTRACE is set. The runtime has another program executed by a process that shares
// the descriptors of the thread that failed and waits for it: the kernel flushes files of that thread's
// own mount then, and nobody answers. What reads /proc of the process hangs as well, until it is killed.
// For a program, not for a library; to be called before cmem_guard_range.
// Source: swift, stdlib/public/runtime/CrashHandlerLinux.cpp.
void csys_end_at_faults(void);

// For the child that executes a command: undoes that of SIGXFSZ.
void csys_restore_file_size_signal(void);

#endif
