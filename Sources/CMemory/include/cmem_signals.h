// What of signals and priorities the Swift modules show differently, or not at all, once others
// that carry the same headers are imported.
#ifndef CMEM_SIGNALS_H
#define CMEM_SIGNALS_H

#include <stdbool.h>

// Whether this process ignores a signal: sigaction(2).
bool cmem_ignores_signal(int signal);

// What this process does on a signal, to be restored once; NULL without memory.
void *cmem_signal_action(int signal);

// Restores it. The action is used up.
void cmem_restore_signal_action(int signal, void *action);

// Makes the calling thread take the CPU from nobody when it wakes (SCHED_BATCH), and get no SIGPIPE.
void cmem_quiet_thread(void);

#endif
