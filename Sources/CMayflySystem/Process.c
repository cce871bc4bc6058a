#include "csys_process.h"

#include "csys_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

char **csys_environment(void) { return environ; }

static char **arguments_at_start;

// glibc calls constructors as it calls main.
__attribute__((constructor)) static void keep_arguments(int count, char **arguments) {
    (void)count;
    arguments_at_start = arguments;
}

char **csys_arguments(void) { return arguments_at_start; }

// A descriptor that reads as empty or fails, and that nothing comes of when it is written.
static int open_nothing(void) {
    int descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
    // Every read(2) and write(2) of such a descriptor is EBADF.
    return descriptor >= 0 ? descriptor : open("/", O_PATH | O_CLOEXEC);
}

void csys_fill_standard_descriptors(void) {
    for (;;) {
        int descriptor = open_nothing();
        if (descriptor < 0) return;
        if (descriptor > STDERR_FILENO) {
            close(descriptor);
            return;
        }
        fcntl(descriptor, F_SETFD, 0);
    }
}

void csys_name_process(const char *name) { prctl(PR_SET_NAME, name); }

void csys_log_line(int level, const char *line) {
    if (level >= 0) dprintf(STDERR_FILENO, "<%d>mayfly: %s\n", level, line);
    else dprintf(STDERR_FILENO, "mayfly: %s\n", line);
}

void csys_log_system(int level, const char *line) {
    syslog(LOG_DAEMON | level, "mayfly: %s", line);
}

void csys_log(const char *line) {
    csys_log_line(-1, line);
    csys_log_system(LOG_WARNING, line);
}

int csys_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

struct csys_started csys_start(const char *directory, char *const arguments[],
                               char *const environment[], const void *mask,
                               struct csys_place place) {
    // The child shares this memory until it executes, so it can leave its report here.
    volatile struct csys_started started = {0, 0, CSYS_STARTED};
    sigset_t all, before;
    sigfillset(&all);
    // No handler of this process may run in the child while it borrows our memory.
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t child = vfork();
    if (child == 0) {
        // Asked after, for the parent may have died before it could be told of.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(127);
        // SIGTTOU, which this would be answered with, is still blocked.
        if (place.foreground && setpgid(0, 0) == 0) tcsetpgrp(STDIN_FILENO, getpid());
        sigprocmask(SIG_SETMASK, mask, NULL);
        csys_restore_file_size_signal();
        if (place.folder >= 0 ? fchdir(place.folder) != 0 : chdir(directory) != 0) {
            started.stage = CSYS_AT_DIRECTORY;
        } else if (place.output >= 0 && dup2(place.output, STDOUT_FILENO) < 0) {
            started.stage = CSYS_AT_OUTPUT;
        } else {
            if (place.inherited >= 0) fcntl(place.inherited, F_SETFD, 0);
            execvpe(arguments[0], arguments, environment);
            started.stage = CSYS_AT_EXECUTE;
        }
        started.error = errno;
        _exit(127);
    }
    if (child < 0) {
        started.stage = CSYS_AT_FORK;
        started.error = errno;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child > 0 && started.stage == CSYS_STARTED) started.process = child;
    if (child > 0 && started.stage != CSYS_STARTED) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    }
    return (struct csys_started){started.process, started.error, started.stage};
}

int csys_fork(void) { return fork(); }

void csys_take_terminal(void) {
    sigset_t output, before;
    sigemptyset(&output);
    sigaddset(&output, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &output, &before);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int csys_ask_apart(const char *path, int number, int report) {
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
        // Its own child is init's, which waits for it if it ever ends.
        if (fork() != 0) _exit(0);
        setsid();
        // Nobody is to wait for the end of a stream that it holds.
        if (dup2(report, STDIN_FILENO) < 0) _exit(1);
        close_range(STDOUT_FILENO, ~0U, 0);
        struct statvfs status;
        struct csys_asked asked = {number, 0};
        if (statvfs(path, &status) != 0) asked.error = errno;
        _exit(write(STDIN_FILENO, &asked, sizeof asked) == sizeof asked ? 0 : 1);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    return 0;
}

int csys_fork_server(const void *mask, int ready, int ready_target, int kept, int apart) {
    int nothing = open_nothing();
    if (nothing < 0) return -1;
    // First to a number that is certainly neither's.
    int spare = -1;
    if (kept >= 0 && (spare = fcntl(kept, F_DUPFD_CLOEXEC, ready_target + 2)) < 0) {
        int error = errno;
        close(nothing);
        errno = error;
        return -1;
    }
    pid_t process = fork();
    if (process == 0) {
        if (apart) setsid();
        else setpgid(0, 0);
        int last = ready_target;
        if (dup2(nothing, STDIN_FILENO) < 0 || dup2(ready, ready_target) < 0) _exit(2);
        if (spare >= 0 && dup2(spare, ++last) < 0) _exit(2);
        close_range(last + 1, ~0U, 0);
        pthread_sigmask(SIG_SETMASK, mask, NULL);
        return 0;
    }
    int error = errno;
    // So that the terminal's signals come by the caller alone, whoever of the two is first.
    if (process > 0 && !apart) setpgid(process, process);
    close(nothing);
    if (spare >= 0) close(spare);
    errno = error;
    return process;
}

int csys_fork_apart(int kept, int target) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        // Its own child is init's, which waits for it when it ends.
        pid_t own = fork();
        if (own != 0) _exit(own < 0 ? 1 : 0);
        setsid();
        int nothing = open_nothing();
        if (nothing < 0 || dup2(kept, target) < 0) _exit(1);
        // Nobody is to wait for the end of a stream that it holds.
        if (dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0
            || dup2(nothing, STDERR_FILENO) < 0)
            _exit(1);
        close_range(target + 1, ~0U, 0);
        return 0;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (status == 0) return 1;
    errno = EAGAIN;
    return -1;
}

int csys_open_process(int process) { return (int)syscall(SYS_pidfd_open, process, 0); }

void csys_leave_terminal(void) {
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) return;
    ioctl(terminal, TIOCNOTTY);
    close(terminal);
}
