#include "csys_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t count = write(file, text, strlen(text));
    int error = errno;
    close(file);
    errno = error;
    return count == (ssize_t)strlen(text);
}

static bool map(const char *path, unsigned id) {
    char text[64];
    snprintf(text, sizeof text, "%u %u 1\n", id, id);
    return put(path, text);
}

enum csys_space csys_enter_space(int user, int *error) {
    *error = 0;
    if (user) {
        unsigned uid = geteuid(), gid = getegid();
        if (unshare(CLONE_NEWUSER) != 0) {
            *error = errno;
            return CSYS_SPACE_USER;
        }
        // Without "deny" an unprivileged process may not map its group (user_namespaces(7)); a
        // kernel without the file needs no denial.
        bool denied = put("/proc/self/setgroups", "deny") || errno == ENOENT;
        if (!denied || !map("/proc/self/uid_map", uid) || !map("/proc/self/gid_map", gid)) {
            *error = errno;
            return CSYS_SPACE_MAP;
        }
    }
    // Nothing gets out; that something is unmounted outside gets in, or the namespace would keep it
    // for as long as the command runs.
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
        *error = errno;
        return CSYS_SPACE_MOUNT;
    }
    return CSYS_SPACE_ENTERED;
}

// What the keeper knows. It stays in C, has one thread, and allocates nothing.
struct kept {
    const char *directory;
    char *const *command, *const *environment;
    struct csys_second second;
    const void *mask;
    struct csys_place place; // of the command
    int orders, reports, children;
    pid_t current; // 0 while no command runs
};

static void report(struct kept *kept, struct csys_report report) {
    // Smaller than a pipe's atomic size. A reader that is gone is noticed at the orders.
    ssize_t ignored = write(kept->reports, &report, sizeof report);
    (void)ignored;
}

static void begin(struct kept *kept, const char *directory, char *const command[],
                  struct csys_place place) {
    struct csys_started started =
        csys_start(directory, command, kept->environment, kept->mask, place);
    kept->current = started.process;
    report(kept, (struct csys_report){CSYS_REPORT_STARTED, 0, started});
}

// Runs the second command where its output is: in a folder or a file that nobody else has made.
static void begin_second(struct kept *kept) {
    const struct csys_second *second = &kept->second;
    struct csys_place place = {second->folder, -1, -1, 0};
    int opened = -1;
    if (second->file) {
        opened = open(second->file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        place.output = opened;
    } else if (second->new_folder) {
        // Its mode comes with what is copied, at the end.
        if (mkdir(second->new_folder, 0700) == 0)
            opened = open(second->new_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat status;
        if (opened >= 0 && (fstat(opened, &status) != 0 || status.st_uid != geteuid())) {
            close(opened);
            opened = -1;
            errno = EEXIST;
        }
        place.folder = opened;
    } else {
        opened = dup(second->folder);
    }
    if (opened < 0) {
        struct csys_started failed = {0, errno, CSYS_AT_OUTPUT};
        report(kept, (struct csys_report){CSYS_REPORT_STARTED, 0, failed});
        return;
    }
    begin(kept, "/", second->arguments, place);
    close(opened);
}

static void reap(struct kept *kept) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0) {
        if (process != kept->current) continue; // an orphan that came to process 1
        kept->current = 0;
        report(kept, (struct csys_report){CSYS_REPORT_ENDED, status, {0, 0, CSYS_STARTED}});
    }
}

static void obey(struct kept *kept, unsigned char order) {
    switch (order) {
    case CSYS_ORDER_START:
        // What /proc shows belongs to the namespace. Where it may not be mounted (a container that
        // hides parts of its own) the old one stays, and only the numbers in it differ.
        if (unshare(CLONE_NEWNS) == 0) {
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
        }
        begin(kept, kept->directory, kept->command, kept->place);
        break;
    case CSYS_ORDER_CLEAR:
        kill(-1, SIGKILL); // everything in the namespace but process 1
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
        kept->current = 0;
        report(kept, (struct csys_report){CSYS_REPORT_CLEAR, 0, {0, 0, CSYS_STARTED}});
        break;
    case CSYS_ORDER_KEEP:
        if (kept->second.arguments) begin_second(kept);
        break;
    default:
        if (kept->current > 0) kill(kept->current, order);
    }
}

static _Noreturn void keep(struct kept *kept) {
    prctl(PR_SET_NAME, "mayfly-keeper");
    // A parent that died before this leaves no writer of the orders, so they end.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd set[2] = {{kept->orders, POLLIN, 0}, {kept->children, POLLIN, 0}};
    while (true) {
        if (poll(set, 2, -1) < 0) continue;
        if (set[1].revents) {
            struct signalfd_siginfo ignored;
            if (read(kept->children, &ignored, sizeof ignored) > 0) reap(kept);
        }
        if (set[0].revents) {
            unsigned char order;
            ssize_t count = read(kept->orders, &order, 1);
            if (count == 0) _exit(0);
            if (count == 1) obey(kept, order);
        }
    }
}

struct csys_keeper csys_start_keeper(const char *directory, char *const command[],
                                     struct csys_second second, char *const environment[],
                                     const void *mask, struct csys_place place) {
    int orders[2], reports[2];
    if (pipe2(orders, O_CLOEXEC) != 0) return (struct csys_keeper){0, errno, -1, -1};
    if (pipe2(reports, O_CLOEXEC) != 0) {
        int error = errno;
        close(orders[0]);
        close(orders[1]);
        return (struct csys_keeper){0, error, -1, -1};
    }
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    // unshare(2) would bar this process from starting threads; a clone alone moves the child.
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    int error = errno;
    if (child == 0) {
        close(orders[1]);
        close(reports[0]);
        sigset_t ended;
        sigemptyset(&ended);
        sigaddset(&ended, SIGCHLD);
        struct kept kept = {directory, command, environment, second, mask, place, orders[0], reports[1],
                            signalfd(-1, &ended, SFD_CLOEXEC | SFD_NONBLOCK), 0};
        if (kept.children < 0) _exit(1);
        keep(&kept);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(orders[0]);
    close(reports[1]);
    if (child < 0) {
        close(orders[1]);
        close(reports[0]);
        return (struct csys_keeper){0, error, -1, -1};
    }
    return (struct csys_keeper){child, 0, orders[1], reports[0]};
}
