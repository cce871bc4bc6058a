#include "cmem_guard.h"

#include "csys_files.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PAGE = 4096, RANGES = 1024 };

struct cmem_guard {
    _Atomic bool changed;
    int file;
    struct stat before;
};

struct cmem_guard *cmem_guard_make(int file) {
    struct cmem_guard *guard = calloc(1, sizeof *guard);
    if (!guard) return NULL;
    guard->file = file;
    if (fstat(file, &guard->before) != 0) atomic_store(&guard->changed, true);
    return guard;
}

void cmem_guard_free(struct cmem_guard *guard) { free(guard); }

bool cmem_guard_was_changed(const struct cmem_guard *guard) {
    return atomic_load_explicit(&guard->changed, memory_order_relaxed);
}

static bool is_equal(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool cmem_guard_is_changed(struct cmem_guard *guard) {
    if (cmem_guard_was_changed(guard)) return true;
    const struct stat *before = &guard->before;
    struct stat now;
    // What was copied before is not to be looked at after this.
    atomic_thread_fence(memory_order_seq_cst);
    if (fstat(guard->file, &now) == 0 && now.st_size == before->st_size
        && is_equal(now.st_mtim, before->st_mtim)
        && (is_equal(now.st_ctim, before->st_ctim) || now.st_mode != before->st_mode
            || now.st_uid != before->st_uid || now.st_gid != before->st_gid
            || now.st_nlink != before->st_nlink))
        return false;
    atomic_store_explicit(&guard->changed, true, memory_order_relaxed);
    return true;
}

int cmem_guard_read(const struct cmem_guard *guard, void *target, size_t count, uint64_t offset) {
    return csys_read_all(guard->file, target, count, offset);
}

// The handler looks at these without a lock. A range is published by its end and withdrawn by it, and
// nobody touches the memory of one that is not there.
static struct range {
    _Atomic uintptr_t start, end;
    struct cmem_guard *_Atomic guard;
} ranges[RANGES];
static int count;
static struct sigaction previous;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void pass_on(int signal, siginfo_t *information, void *context) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, information, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else {
        // The instruction is tried again, and its fault ends the process as if we were not here.
        sigaction(signal, &previous, NULL);
    }
}

static void on_fault(int signal, siginfo_t *information, void *context) {
    int error = errno;
    uintptr_t address = (uintptr_t)information->si_addr;
    for (int i = 0; information->si_code > 0 && i < RANGES; i++) {
        if (address >= atomic_load(&ranges[i].end) || address < atomic_load(&ranges[i].start)) continue;
        // First, so that nobody takes the zeros for content.
        atomic_store(&atomic_load(&ranges[i].guard)->changed, true);
        void *page = (void *)(address & ~(uintptr_t)(PAGE - 1));
        void *zeros = mmap(page, PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        errno = error;
        if (zeros != MAP_FAILED) return;
        break;
    }
    pass_on(signal, information, context);
    errno = error;
}

int cmem_guard_range(struct cmem_guard *guard, const void *start, size_t bytes) {
    pthread_mutex_lock(&lock);
    int code = ENOSPC;
    for (int i = 0; i < RANGES; i++) {
        if (atomic_load(&ranges[i].end) != 0) continue;
        code = 0;
        if (count == 0) {
            struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
            sigemptyset(&ours.sa_mask);
            if (sigaction(SIGBUS, &ours, &previous) != 0) code = errno;
        }
        if (code == 0) {
            count++;
            atomic_store(&ranges[i].guard, guard);
            atomic_store(&ranges[i].start, (uintptr_t)start);
            atomic_store(&ranges[i].end, (uintptr_t)start + bytes);
        }
        break;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

void cmem_unguard_range(const void *start) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < RANGES; i++) {
        if (atomic_load(&ranges[i].end) == 0 || atomic_load(&ranges[i].start) != (uintptr_t)start) continue;
        atomic_store(&ranges[i].end, 0);
        struct sigaction now;
        if (--count == 0 && sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO)
            && now.sa_sigaction == on_fault)
            sigaction(SIGBUS, &previous, NULL);
        break;
    }
    pthread_mutex_unlock(&lock);
}
