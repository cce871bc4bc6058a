#include "csys_guardian.h"

#include "csys_privilege.h"
#include "csys_process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HIGH = 32, DEATHS = 16 };

static volatile sig_atomic_t server;
static volatile sig_atomic_t asked;
// The process whose program is to be the next guardian.
static volatile sig_atomic_t replacer;

static void take_replacer(int number, siginfo_t *info, void *context) {
    // Of a process that cannot be seen from here the number is 0.
    if (info->si_code > 0 || info->si_pid <= 0) return;
    replacer = info->si_pid;
    (void)number;
    (void)context;
}

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
        signal(SIGUSR1, SIG_DFL);
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

// Runs a program in place of this one, with the memory where it looks for it. Returns where it cannot.
static void execute(const struct csys_guarded *plan, int program, char *const arguments[], int before) {
    int memory = fcntl(plan->memory, F_DUPFD_CLOEXEC, HIGH);
    int own = before ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;
    int spare = own < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, HIGH);
    int given = fcntl(program, F_DUPFD_CLOEXEC, HIGH);
    if (memory >= 0 && given >= 0 && (!before || spare >= 0) && dup2(memory, plan->memory_next) >= 0 &&
        (!before || dup2(spare, plan->before_next) >= 0))
        syscall(SYS_execveat, given, "", arguments, plan->environment, AT_EMPTY_PATH);
    if (memory >= 0) close(memory);
    if (spare >= 0) close(spare);
    if (own >= 0) close(own);
    if (given >= 0) close(given);
}

// The same as a guardian. Signals wait until it takes them: by default they would end it.
static void hand_on(const struct csys_guarded *plan, int program, char *const arguments[], int before) {
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    execute(plan, program, arguments, before);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    csys_log("a mount's program could not be replaced: it goes on with the old one");
}

// Whether a program says that it can guard the memory. Any program may have sent the signal, so it is given
// a time.
static int can_guard(const struct csys_guarded *plan, int program) {
    enum { SECONDS = 20 };
    pid_t child = fork();
    if (child < 0) return 0;
    if (child == 0) {
        server = 0;
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        signal(SIGUSR1, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        alarm(SECONDS);
        execute(plan, program, plan->probe, 0);
        _exit(2);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == CSYS_CAN_GUARD;
}

// The program that the replacer runs, if it can guard the memory; else -1.
static int next_program(const struct csys_guarded *plan) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)replacer);
    replacer = 0;
    int program = open(path, O_RDONLY | O_CLOEXEC);
    if (program >= 0 && !can_guard(plan, program)) {
        close(program);
        program = -1;
    }
    if (program < 0) csys_log("a program that asked to serve a mount cannot do so");
    return program;
}

// Waits for the end of the server. When another program is to follow, the server is asked to end. Returns that
// program, or -1.
static int await_end(const struct csys_guarded *plan, pid_t process) {
    int end = (int)syscall(SYS_pidfd_open, process, 0);
    if (end < 0) return -1;
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    int program = -1;
    struct pollfd ended = {.fd = end, .events = POLLIN};
    // What hangs in a request is followed as if it had died.
    const struct timespec longest = {10, 0};
    for (;;) {
        if (replacer && program < 0 && (program = next_program(plan)) >= 0) kill(process, SIGUSR2);
        int count = ppoll(&ended, 1, program >= 0 ? &longest : NULL, plan->mask);
        if (count > 0) break;
        if (count == 0) kill(process, SIGKILL);
    }
    close(end);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return program;
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

static int hold(const struct csys_guarded *plan, const char *reason) {
    csys_log(reason);
    while (!asked) {
        // Another program may be able to serve it.
        int program = replacer ? next_program(plan) : -1;
        if (program >= 0) {
            hand_on(plan, program, plan->next, 1);
            close(program);
        }
        poll(NULL, 0, 500);
    }
    return 2;
}

// Whether a server has said in the memory that it ends by itself.
static int has_ended(const struct csys_guarded *plan) {
    struct stat status;
    uint64_t word = 0;
    return fstat(plan->memory, &status) == 0 && status.st_size > plan->ended_before_end &&
           pread(plan->memory, &word, sizeof word, status.st_size - plan->ended_before_end) ==
               (ssize_t)sizeof word &&
           word != 0;
}

int csys_guard(const struct csys_guarded *plan) {
    csys_name_process("mayfly-guard");
    // What parsing the arguments took is not needed any more.
    malloc_trim(0);
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    struct sigaction replacing = {.sa_sigaction = take_replacer, .sa_flags = SA_SIGINFO};
    sigfillset(&replacing.sa_mask);
    sigaction(SIGUSR1, &replacing, NULL);
    sigprocmask(SIG_SETMASK, plan->mask, NULL);
    double deaths[DEATHS] = {0};
    int count = 0;
    long pause_ms = 0;
    int is_first = plan->first != NULL;
    int before = plan->before;
    if (plan->adopted > 0) {
        server = plan->adopted;
        int program = await_end(plan, plan->adopted);
        server = 0;
        if (has_ended(plan)) return 0;
        if (asked) return 128 + asked;
        if (program >= 0) {
            hand_on(plan, program, plan->next, 1);
            close(program);
        } else {
            csys_log("a server has died; another one takes over");
        }
    }
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
        if (is_ready && before >= 0) {
            close(before);
            before = -1;
        }
        int status = 0;
        if (error == 0) {
            int program = is_ready ? await_end(plan, server) : -1;
            while (waitpid(server, &status, 0) < 0 && errno == EINTR) {}
            server = 0;
            if (program >= 0) {
                // One that was unmounted meanwhile is nobody's any more.
                if (!WIFEXITED(status)) hand_on(plan, program, plan->next, 1);
                close(program);
                if (!WIFEXITED(status)) continue;
            }
        }
        if (!is_ready && before >= 0) {
            csys_log("a newer program cannot serve a mount: the one before goes on");
            hand_on(plan, before, plan->back, 0);
            close(before);
            before = -1;
        }
        if (error == 0 && WIFEXITED(status)) {
            if (is_ready || is_first) return WEXITSTATUS(status);
            return hold(plan, "the content of a mount is kept, because no new server could serve it: "
                        "`mayfly recover` writes it to an image");
        }
        // Nothing is lost yet that anybody was told of.
        if (is_first) return 2;
        if (asked) return 128 + asked;
        double then = now();
        deaths[count++ % DEATHS] = then;
        int most = plan->most_deaths < DEATHS ? plan->most_deaths : DEATHS;
        if (most > 0 && count >= most && then - deaths[(count - most) % DEATHS] < plan->seconds)
            return hold(plan, "the content of a mount is kept, because its servers die too often: "
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

int csys_ask_guardian(int guardian, uint64_t capabilities) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        csys_keep_capabilities(capabilities);
        if (kill(guardian, SIGUSR1) != 0) _exit(errno);
        for (;;) pause();
    }
    return child;
}

int csys_start_guardian(char *const arguments[], int memory, int target) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, memory, target);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t process;
    int error = posix_spawn(&process, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    errno = error;
    return error == 0 ? process : -1;
}
