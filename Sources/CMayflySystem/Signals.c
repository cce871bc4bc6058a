#include "csys_signals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

// Whether this process ignores a signal: sigaction(2).
static bool ignores_signal(int signal) {
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void *csys_signal_action(int signal) {
    struct sigaction *action = malloc(sizeof *action);
    if (action != NULL) sigaction(signal, NULL, action);
    return action;
}

void csys_restore_signal_action(int signal, void *action) {
    if (action != NULL) sigaction(signal, action, NULL);
    free(action);
}

static const int file_signals[] = {SIGXFSZ, SIGPIPE};

int csys_hold_file_signals(void) {
    sigset_t set, before;
    sigemptyset(&set);
    for (int i = 0; i < 2; i++) sigaddset(&set, file_signals[i]);
    if (pthread_sigmask(SIG_BLOCK, &set, &before) != 0) return 0;
    int held = 0;
    for (int i = 0; i < 2; i++) {
        if (!sigismember(&before, file_signals[i])) held |= 1 << i;
    }
    return held;
}

void csys_drop_file_signals(int held) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < 2; i++) {
        if (held & 1 << i) sigaddset(&set, file_signals[i]);
    }
    const struct timespec now = {0, 0};
    while (held && sigtimedwait(&set, NULL, &now) > 0) {}
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void csys_end_at_faults(void) {
    // All that the runtime handles.
    static const int faults[] = {SIGQUIT, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    if (getenv("SWIFT_BACKTRACE") != NULL) return;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (!ignores_signal(faults[i])) signal(faults[i], SIG_DFL);
    }
}

static int ignores_file_size;

void csys_ignore_file_size_signal(void) {
    if (ignores_signal(SIGXFSZ)) return;
    ignores_file_size = 1;
    signal(SIGXFSZ, SIG_IGN);
}

void csys_restore_file_size_signal(void) {
    if (ignores_file_size) signal(SIGXFSZ, SIG_DFL);
}
