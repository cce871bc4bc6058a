#include "cmem_signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

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
    // 0 is the calling thread, for Linux gives each its own.
    setpriority(PRIO_PROCESS, 0, 19);
}
