#include "cmem_signals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

bool cmem_ignores_signal(int signal) {
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void *cmem_signal_action(int signal) {
    struct sigaction *action = malloc(sizeof *action);
    if (action != NULL) sigaction(signal, NULL, action);
    return action;
}

void cmem_restore_signal_action(int signal, void *action) {
    if (action != NULL) sigaction(signal, action, NULL);
    free(action);
}

void cmem_quiet_thread(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    // No lower priority: a thread of nice 19 takes seconds to die on a busy machine, and until it
    // has, a killed process keeps its descriptors, and /dev/fuse among them its clients waiting.
    struct sched_param normal = {0};
    sched_setscheduler(0, SCHED_BATCH, &normal);
}
