// The watcher: clears up behind a test process, also one that was killed.
//
// How it learns of the end: a thread of the test process holds a robust mutex in memory that both
// have, and never lets go. The kernel passes the mutex on when the thread dies, and it does that
// before it closes the process's files. This matters, for the process serves the mounts in which it
// has files open: closing those may wait for an answer that nobody is left to give, and the end of a
// pipe would come only afterwards, never. So the watcher aborts the connections, and then the
// process ends.
//
// It is no child of the test process, which may wait for its own; it has no descriptor, so that
// nobody waits for its output; and as it is forked from a process with threads, it only makes system
// calls.
// Source: kernel/exit.c, do_exit(): exit_mm() before exit_files(); pthread_mutexattr_setrobust(3).

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CMayflyTesting.h"

// getdents64(2); readdir(3) allocates.
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

// Removes an entry of the working directory. Nothing under a mount is ever touched.
static bool remove_entry(const char *name) {
    int flags = MNT_DETACH | UMOUNT_NOFOLLOW;
    // Older kernels let nobody abort a connection from within a user namespace.
    while (umount2(name, flags | MNT_FORCE) == 0 || umount2(name, flags) == 0) {}
    return unlinkat(AT_FDCWD, name, 0) == 0 || unlinkat(AT_FDCWD, name, AT_REMOVEDIR) == 0;
}

static bool remove_entries(int folder) {
    _Alignas(8) char buffer[4096];
    bool removed = false;
    lseek(folder, 0, SEEK_SET);
    long count;
    while ((count = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < count;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            at += entry->bytes;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
            if (remove_entry(entry->name)) removed = true;
        }
    }
    return removed;
}

static void clear(const char *path) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || fchdir(folder) != 0) return;
    // What is removed while it is listed may hide what comes after it.
    while (remove_entries(folder)) {}
    if (chdir("/") == 0) rmdir(path);
}

// What the two processes have in common.
struct life {
    pthread_mutex_t lock; // held by the test process while it lives
    volatile bool is_held;
};

static _Noreturn void watch(struct life *life, const char *folder) {
    setsid();
    prctl(PR_SET_NAME, "mayfly-watcher");
    syscall(SYS_close_range, 0u, UINT_MAX, 0u);
    if (chdir("/") != 0) _exit(1);
    pthread_mutex_lock(&life->lock);
    clear(folder);
    _exit(0);
}

static void *live(void *argument) {
    struct life *life = argument;
    prctl(PR_SET_NAME, "mayfly-life");
    if (pthread_mutex_lock(&life->lock) != 0) return NULL;
    life->is_held = true;
    while (true) pause();
}

// A lock that a thread of this process holds from now on; NULL where there is no memory or thread.
static struct life *begin_life(void) {
    struct life *life = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (life == MAP_FAILED) return NULL;
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&life->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    int error = pthread_create(&thread, &small, live, life);
    pthread_attr_destroy(&small);
    if (error != 0) {
        munmap(life, sizeof *life);
        return NULL;
    }
    while (!life->is_held) sched_yield();
    return life;
}

// Forks the watcher off, by a process between that ends at once. Returns 0 or an errno.
static int start(struct life *life, const char *folder) {
    // Without what pthread_atfork(3) has others do.
    pid_t between = _Fork();
    if (between < 0) return errno;
    if (between == 0) {
        pid_t watcher = _Fork();
        if (watcher == 0) watch(life, folder);
        _exit(watcher < 0);
    }
    int status = 0;
    while (waitpid(between, &status, 0) < 0 && errno == EINTR) {}
    return status == 0 ? 0 : EAGAIN;
}

int cmt_watch(const char *folder) {
    // All signals stay blocked in the watcher, and in the thread that lives: they are for others.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct life *life = begin_life();
    int error = life ? start(life, folder) : EAGAIN;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
