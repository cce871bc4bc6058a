#include "csys_guardian.h"

#include "csys_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HIGH = 32, DEATHS = 16 };

static volatile sig_atomic_t server;
static volatile sig_atomic_t asked;

static void pass_on(int number, siginfo_t *info, void *context) {
    asked = number;
    // What the terminal sends reaches the server as well.
    if (server > 0 && info->si_code <= 0) kill(server, number);
    (void)context;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Starts a server and gives the end of a pipe on which it says that it is ready. 0, or an errno.
static int start(const struct csys_guarded *plan, char *const arguments[], int *ready) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    // Out of the way of the numbers that the server is to have.
    int writing = fcntl(ends[1], F_DUPFD_CLOEXEC, HIGH);
    int memory = fcntl(plan->memory, F_DUPFD_CLOEXEC, HIGH);
    pid_t child = -1;
    int error = writing < 0 || memory < 0 ? errno : 0;
    if (error == 0) {
        child = fork();
        if (child < 0) error = errno;
    }
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        if (dup2(memory, plan->memory_target) >= 0 && dup2(writing, plan->ready_target) >= 0) {
            sigprocmask(SIG_SETMASK, plan->mask, NULL);
            execve("/proc/self/exe", arguments, plan->environment);
        }
        _exit(2);
    }
    if (writing >= 0) close(writing);
    if (memory >= 0) close(memory);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return error;
    }
    server = child;
    *ready = ends[0];
    // It may have come while there was no server to pass it on to.
    if (asked) kill(child, asked);
    return 0;
}

static int awaits_ready(int ready) {
    char byte;
    ssize_t count;
    do count = read(ready, &byte, 1);
    while (count < 0 && errno == EINTR);
    close(ready);
    return count == 1;
}

static void enter_background(int told) {
    if (told < 0) return;
    if (chdir("/") != 0) return;
    dup2(STDIN_FILENO, STDOUT_FILENO);
    dup2(STDIN_FILENO, STDERR_FILENO);
    while (write(told, "", 1) < 0 && errno == EINTR) {}
    close(told);
}

static int hold(const char *reason) {
    csys_log(reason);
    while (!asked) pause();
    return 2;
}

int csys_guard(const struct csys_guarded *plan) {
    csys_name_process("mayfly-guard");
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigprocmask(SIG_SETMASK, plan->mask, NULL);
    double deaths[DEATHS] = {0};
    int count = 0;
    long pause_ms = 0;
    int is_first = 1;
    for (;;) {
        int ready;
        double began = now();
        int error = start(plan, is_first ? plan->first : plan->again, &ready);
        if (error != 0 && is_first) return 2;
        int is_ready = error == 0 && awaits_ready(ready);
        if (is_ready && is_first) {
            enter_background(plan->told);
            is_first = 0;
        }
        int status = 0;
        if (error == 0) {
            while (waitpid(server, &status, 0) < 0 && errno == EINTR) {}
            server = 0;
        }
        if (error == 0 && WIFEXITED(status)) {
            if (is_ready || is_first) return WEXITSTATUS(status);
            return hold("the content of a mount is kept, because no new server could serve it: "
                        "`mayfly recover` writes it to an image");
        }
        // Nothing is lost yet that anybody was told of.
        if (is_first) return 2;
        if (asked) return 128 + asked;
        double then = now();
        deaths[count++ % DEATHS] = then;
        int most = plan->most_deaths < DEATHS ? plan->most_deaths : DEATHS;
        if (most > 0 && count >= most && then - deaths[(count - most) % DEATHS] < plan->seconds)
            return hold("the content of a mount is kept, because its servers die too often: "
                        "`mayfly recover` writes it to an image");
        csys_log("a server has died; another one takes over");
        // Those that live for a moment are followed later and later.
        if (then - began >= 1) {
            pause_ms = 0;
        } else if (pause_ms == 0) {
            pause_ms = 10;
        } else {
            struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000};
            nanosleep(&pause, NULL);
            if (pause_ms < 1000) pause_ms *= 2;
        }
    }
}
