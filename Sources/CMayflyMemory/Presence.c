#include "cmem_presence.h"

#include "csys_sockets.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAGIC = 0x4d465031, FILES = 66, SECOND = 1000000000 };
enum { LACKS, CLAIMED, HERE };

struct run {
    uint64_t start, end;
    uint32_t file;
    _Atomic uint32_t state;
    _Atomic uint32_t wanted;
    uint32_t nothing;
};

struct file {
    uint32_t first_run, run_count;
    uint32_t is_here;
    _Atomic uint32_t is_named;
    struct stat named;
};

struct table {
    uint32_t magic, file_count, run_count, most_runs;
    uint64_t patience, total;
    _Atomic uint64_t here, progress;
    // When somebody last found that something lacks.
    _Atomic uint64_t wanted_at;
    _Atomic uint32_t failing, complete;
    // Written by one thread at a time; an odd number: just now.
    _Atomic uint32_t reason_serial;
    char reason[256];
    struct file files[FILES];
};

// What each process has of its own.
struct cmem_presence {
    struct table *table;
    struct run *runs;
    size_t bytes;
    int peer;
    _Atomic bool is_over;
};

static size_t size_of(uint32_t runs) { return sizeof(struct table) + runs * sizeof(struct run); }

int cmem_presence_create(uint32_t files, uint32_t runs) {
    if (files > FILES) {
        errno = EINVAL;
        return -1;
    }
    size_t bytes = size_of(runs);
    int descriptor = csys_shared_memory("mayfly-presence", bytes);
    if (descriptor < 0) return -1;
    struct table *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (table == MAP_FAILED) {
        close(descriptor);
        return -1;
    }
    table->magic = MAGIC;
    table->most_runs = runs;
    table->patience = 30ull * SECOND;
    atomic_store(&table->progress, cmem_monotonic_nanoseconds());
    munmap(table, bytes);
    return descriptor;
}

struct cmem_presence *cmem_presence_map(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) != 0 || (size_t)status.st_size < sizeof(struct table)) return NULL;
    struct table *table =
        mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (table == MAP_FAILED) return NULL;
    struct cmem_presence *made = NULL;
    if (table->magic == MAGIC && size_of(table->most_runs) == (size_t)status.st_size)
        made = calloc(1, sizeof *made);
    if (!made) {
        munmap(table, (size_t)status.st_size);
        return NULL;
    }
    made->table = table;
    made->runs = (struct run *)(table + 1);
    made->bytes = (size_t)status.st_size;
    made->peer = -1;
    return made;
}

void cmem_presence_unmap(struct cmem_presence *table) {
    munmap(table->table, table->bytes);
    if (table->peer >= 0) close(table->peer);
    free(table);
}

void cmem_presence_add_file(struct cmem_presence *table, bool is_here) {
    struct table *t = table->table;
    struct file *file = &t->files[t->file_count++];
    file->first_run = t->run_count;
    file->is_here = is_here;
}

void cmem_presence_add_run(struct cmem_presence *table, uint64_t offset, uint64_t bytes) {
    struct table *t = table->table;
    if (t->run_count == t->most_runs) return;
    struct run *run = &table->runs[t->run_count++];
    run->start = offset;
    run->end = offset + bytes;
    run->file = t->file_count - 1;
    t->files[t->file_count - 1].run_count++;
    t->total += bytes;
}

int cmem_presence_find(struct cmem_presence *table, uint32_t number, uint64_t offset, uint64_t bytes) {
    struct file *file = &table->table->files[number];
    if (file->is_here || bytes == 0) return 0;
    struct run *runs = table->runs + file->first_run;
    uint64_t end = offset + bytes;
    uint32_t low = 0, high = file->run_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (runs[middle].end <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    int code = 0;
    for (; low < file->run_count && runs[low].start < end; low++) {
        struct run *run = &runs[low];
        // Pairs with the release in `cmem_presence_arrived`: the file has the bytes.
        if (atomic_load_explicit(&run->state, memory_order_acquire) == HERE) continue;
        if (!atomic_load_explicit(&run->wanted, memory_order_relaxed))
            atomic_store_explicit(&run->wanted, 1, memory_order_relaxed);
        code = CMEM_MISSING;
    }
    if (code)
        atomic_store_explicit(&table->table->wanted_at, cmem_monotonic_nanoseconds(), memory_order_relaxed);
    return code;
}

bool cmem_presence_is_gone(int socket) {
    struct pollfd poll_for = {.fd = socket, .events = POLLIN};
    return poll(&poll_for, 1, 0) > 0 && (poll_for.revents & (POLLHUP | POLLERR)) != 0;
}

static bool is_over(const struct cmem_presence *table) {
    struct cmem_presence *own = (struct cmem_presence *)table;
    if (atomic_load_explicit(&own->is_over, memory_order_relaxed)) return true;
    if (table->peer < 0 || cmem_presence_is_complete(table) || !cmem_presence_is_gone(table->peer)) return false;
    // It may have done the last thing just before its end.
    if (cmem_presence_is_complete(table)) return false;
    atomic_store_explicit(&own->is_over, true, memory_order_relaxed);
    return true;
}

bool cmem_presence_is_overdue(const struct cmem_presence *table, uint64_t since) {
    if (is_over(table)) return true;
    const struct table *t = table->table;
    uint64_t now = cmem_monotonic_nanoseconds();
    uint64_t last = atomic_load_explicit(&((struct table *)t)->progress, memory_order_relaxed);
    // Who comes when nothing has come for long gives it a moment to be back.
    uint64_t least = t->patience < SECOND ? t->patience : SECOND;
    bool fails = atomic_load_explicit(&((struct table *)t)->failing, memory_order_relaxed) != 0;
    return (now > last && now - last > t->patience && now - since > least)
           || (fails && now - since > t->patience);
}

int cmem_presence_await(struct cmem_presence *table, uint32_t file, uint64_t offset, uint64_t bytes) {
    uint64_t since = cmem_monotonic_nanoseconds();
    while (cmem_presence_find(table, file, offset, bytes) != 0) {
        if (cmem_presence_is_overdue(table, since)) return EIO;
        cmem_nap(500);
    }
    return 0;
}

bool cmem_presence_is_complete(const struct cmem_presence *table) {
    return atomic_load_explicit(&table->table->complete, memory_order_acquire) != 0;
}

bool cmem_presence_is_coming(const struct cmem_presence *table, uint32_t file) {
    return !table->table->files[file].is_here;
}

bool cmem_presence_named(const struct cmem_presence *table, uint32_t file, struct stat *status) {
    struct file *found = &table->table->files[file];
    if (atomic_load_explicit(&found->is_named, memory_order_acquire) == 0) return false;
    *status = found->named;
    return true;
}

void cmem_presence_report(const struct cmem_presence *table, struct cmem_presence_report *report) {
    struct table *t = table->table;
    memset(report, 0, sizeof *report);
    report->here_bytes = atomic_load_explicit(&t->here, memory_order_relaxed);
    report->total_bytes = t->total;
    uint64_t now = cmem_monotonic_nanoseconds(), last = atomic_load(&t->progress);
    report->silent = now > last ? now - last : 0;
    report->state = cmem_presence_is_complete(table)           ? CMEM_PRESENCE_ALL
                    : is_over(table)                           ? CMEM_PRESENCE_ENDED
                    : atomic_load(&t->failing) || report->silent > t->patience ? CMEM_PRESENCE_AWAY
                                                               : CMEM_PRESENCE_COMING;
    for (int i = 0; i < 100; i++) {
        uint32_t serial = atomic_load(&t->reason_serial);
        memcpy(report->reason, t->reason, sizeof report->reason);
        atomic_thread_fence(memory_order_seq_cst);
        if (serial % 2 == 0 && serial == atomic_load(&t->reason_serial)) break;
        report->reason[0] = 0;
    }
    report->reason[sizeof report->reason - 1] = 0;
}

static int64_t take(struct cmem_presence *table, bool wanted_only) {
    for (uint32_t i = 0; i < table->table->run_count; i++) {
        struct run *run = &table->runs[i];
        if (wanted_only && !atomic_load_explicit(&run->wanted, memory_order_relaxed)) continue;
        uint32_t lacks = LACKS;
        if (atomic_load_explicit(&run->state, memory_order_relaxed) == LACKS
            && atomic_compare_exchange_strong(&run->state, &lacks, CLAIMED))
            return i;
    }
    return -1;
}

int64_t cmem_presence_claim(struct cmem_presence *table, bool wanted_only) {
    int64_t run = take(table, true);
    return run >= 0 || wanted_only ? run : take(table, false);
}

void cmem_presence_arrived(struct cmem_presence *table, int64_t number) {
    struct run *run = &table->runs[number];
    atomic_fetch_add_explicit(&table->table->here, run->end - run->start, memory_order_relaxed);
    atomic_store_explicit(&run->state, HERE, memory_order_release);
    cmem_presence_note_progress(table);
}

void cmem_presence_give_back(struct cmem_presence *table, int64_t run) {
    atomic_store_explicit(&table->runs[run].state, LACKS, memory_order_release);
}

uint32_t cmem_presence_file(const struct cmem_presence *table, int64_t run) { return table->runs[run].file; }

uint32_t cmem_presence_lacking(const struct cmem_presence *table, uint32_t number) {
    const struct file *file = &table->table->files[number];
    uint32_t count = 0;
    for (uint32_t i = 0; i < file->run_count; i++)
        count += atomic_load_explicit(&table->runs[file->first_run + i].state, memory_order_acquire) != HERE;
    return count;
}

bool cmem_presence_is_wanted(const struct cmem_presence *table) {
    // Who waits looks each millisecond.
    uint64_t last = atomic_load_explicit(&table->table->wanted_at, memory_order_relaxed);
    return cmem_monotonic_nanoseconds() - last < SECOND / 10;
}

void cmem_presence_note_progress(struct cmem_presence *table) {
    atomic_store_explicit(&table->table->progress, cmem_monotonic_nanoseconds(), memory_order_relaxed);
}

void cmem_presence_note_failure(struct cmem_presence *table, const char *reason) {
    struct table *t = table->table;
    if (reason) {
        atomic_fetch_add(&t->reason_serial, 1);
        strncpy(t->reason, reason, sizeof t->reason - 1);
        atomic_fetch_add(&t->reason_serial, 1);
    }
    atomic_store(&t->failing, reason != NULL);
}

void cmem_presence_note_named(struct cmem_presence *table, uint32_t number, int descriptor) {
    struct file *file = &table->table->files[number];
    if (descriptor < 0 || fstat(descriptor, &file->named) != 0) return;
    atomic_store_explicit(&file->is_named, 1, memory_order_release);
}

void cmem_presence_note_complete(struct cmem_presence *table) {
    cmem_presence_note_failure(table, NULL);
    atomic_store_explicit(&table->table->complete, 1, memory_order_release);
}

void cmem_presence_set_patience(struct cmem_presence *table, uint64_t nanoseconds) {
    table->table->patience = nanoseconds;
}

void cmem_presence_set_peer(struct cmem_presence *table, int socket) { table->peer = socket; }
