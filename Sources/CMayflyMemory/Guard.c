#include "cmem_guard.h"

#include "csys_files.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PAGE = 4096, RANGES = 1024 };

struct cmem_guard {
    _Atomic bool changed;
    size_t file_count, source_count;
    // Behind the last source the first file ends here; without sources it is read to its own end.
    uint64_t first_bytes;
    struct cmem_source *sources;
    // NULL where all was here from the beginning.
    struct cmem_presence *presence;
    struct {
        int file;
        struct stat before;
    } files[];
};

struct cmem_guard *cmem_guard_make(const int *files, size_t file_count, uint64_t first_bytes,
                                   const struct cmem_source *sources, size_t source_count) {
    struct cmem_guard *guard = calloc(1, sizeof *guard + file_count * sizeof guard->files[0]);
    if (!guard) return NULL;
    if (source_count > 0) {
        guard->sources = calloc(source_count, sizeof *sources);
        if (!guard->sources) {
            free(guard);
            return NULL;
        }
        memcpy(guard->sources, sources, source_count * sizeof *sources);
    }
    guard->source_count = source_count;
    guard->first_bytes = first_bytes;
    guard->file_count = file_count;
    for (size_t i = 0; i < file_count; i++) {
        guard->files[i].file = files[i];
        if (fstat(files[i], &guard->files[i].before) != 0) atomic_store(&guard->changed, true);
    }
    return guard;
}

void cmem_guard_set_presence(struct cmem_guard *guard, struct cmem_presence *presence) {
    guard->presence = presence;
}

struct cmem_presence *cmem_guard_presence(const struct cmem_guard *guard) { return guard->presence; }

void cmem_guard_free(struct cmem_guard *guard) {
    free(guard->sources);
    free(guard);
}

bool cmem_guard_was_changed(const struct cmem_guard *guard) {
    return atomic_load_explicit(&guard->changed, memory_order_relaxed);
}

static bool is_equal(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_as_before(int file, const struct stat *before) {
    struct stat now;
    return fstat(file, &now) == 0 && now.st_size == before->st_size
           && is_equal(now.st_mtim, before->st_mtim)
           && (is_equal(now.st_ctim, before->st_ctim) || now.st_mode != before->st_mode
               || now.st_uid != before->st_uid || now.st_gid != before->st_gid
               || now.st_nlink != before->st_nlink);
}

bool cmem_guard_is_changed(struct cmem_guard *guard) {
    if (cmem_guard_was_changed(guard)) return true;
    // What was copied before is not to be looked at after this.
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < guard->file_count; i++) {
        if (__builtin_expect(guard->presence != NULL, 0)
            && cmem_presence_is_coming(guard->presence, (uint32_t)i)) {
            // Nobody can open a file that has no name; from then on it is as it was.
            struct stat named;
            if (!cmem_presence_named(guard->presence, (uint32_t)i, &named)
                || is_as_before(guard->files[i].file, &named))
                continue;
        } else if (is_as_before(guard->files[i].file, &guard->files[i].before)) {
            continue;
        }
        atomic_store_explicit(&guard->changed, true, memory_order_relaxed);
        return true;
    }
    return false;
}

// The first source that ends behind an offset.
static size_t source_behind(const struct cmem_source *sources, size_t count, uint64_t offset) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sources[middle].end <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// What is done with a piece that lies in one file.
enum step { READ, AWAIT };

static int step(const struct cmem_guard *guard, enum step step, uint32_t file, void *target, size_t count,
                uint64_t place) {
    struct cmem_presence *presence = guard->presence;
    if (step == AWAIT) return presence ? cmem_presence_await(presence, file, place, count) : 0;
    if (__builtin_expect(presence != NULL, 0)) {
        int error = cmem_presence_find(presence, file, place, count);
        if (error) return error;
    }
    return csys_read_all(guard->files[file].file, target, count, place);
}

static int walk(const struct cmem_guard *guard, enum step what, void *target, size_t count, uint64_t offset) {
    if (guard->source_count == 0) return step(guard, what, 0, target, count, offset);
    const struct cmem_source *sources = guard->sources;
    size_t at = source_behind(sources, guard->source_count, offset);
    char *to = target;
    while (count > 0) {
        uint64_t end = offset + count;
        int error = 0;
        if (at < guard->source_count && sources[at].start <= offset) {
            const struct cmem_source *source = &sources[at];
            if (source->end <= end) {
                end = source->end;
                at++;
            }
            error = step(guard, what, source->file, to, end - offset, source->place + (offset - source->start));
        } else {
            if (at < guard->source_count && sources[at].start < end) end = sources[at].start;
            if (offset < guard->first_bytes) {
                if (end > guard->first_bytes) end = guard->first_bytes;
                error = step(guard, what, 0, to, end - offset, offset);
            } else if (what == READ) {
                memset(to, 0, end - offset);
            }
        }
        if (error) return error;
        if (to) to += end - offset;
        count -= end - offset;
        offset = end;
    }
    return 0;
}

int cmem_guard_read(const struct cmem_guard *guard, void *target, size_t count, uint64_t offset) {
    return walk(guard, READ, target, count, offset);
}

int cmem_guard_await(const struct cmem_guard *guard, size_t count, uint64_t offset) {
    return walk(guard, AWAIT, NULL, count, offset);
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
