// See include/cmem_budget.h.
#include "cmem_budget.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    // A piece of the budget: 2 MiB at least, 256 MiB at most.
    LEAST_PIECE = 512,
    MOST_PIECE = 65536,
    PIECES = 8,
    // What was found is believed for so long.
    FRESH_NANOSECONDS = 50000000,
};
static const int64_t PLENTY = INT64_MAX / 4;

// Read by every request, on a cache line of its own.
int64_t cmem_budget_pages __attribute__((aligned(64))) = INT64_MAX / 4;
int64_t cmem_budget_promised __attribute__((aligned(64)));

static struct cmem_headroom watched;
static int is_watching; // published by a release store
static int is_looking;  // a lock word: who looks is brief, and others wait for what is found
static uint64_t last_look;

// Reads a small file whole, at any time again. Returns its length, -1 where it cannot be read.
static ssize_t text_of(int descriptor, char *text, size_t capacity) {
    size_t length = 0;
    while (length < capacity - 1) {
        ssize_t count = pread(descriptor, text + length, capacity - 1 - length, (off_t)length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        if (count == 0) break;
        length += (size_t)count;
    }
    text[length] = 0;
    return (ssize_t)length;
}

// The number that a file holds; false for "max", and for version 1's near 2^63.
static bool number_in(int descriptor, uint64_t *number) {
    char text[64];
    if (descriptor < 0 || text_of(descriptor, text, sizeof text) <= 0) return false;
    if (!isdigit((unsigned char)text[0])) return false;
    *number = strtoull(text, NULL, 10);
    return *number < (uint64_t)INT64_MAX - 65536;
}

// The number behind a name at the beginning of a line; 0 where there is none.
static uint64_t value_of(const char *name, const char *text) {
    size_t length = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, length) == 0 && (line[length] == ' ' || line[length] == ':'))
            return strtoull(line + length + 1, NULL, 10);
    }
    return 0;
}

int64_t cmem_headroom_bytes(const struct cmem_headroom *files) {
    char text[8192];
    int64_t least = INT64_MAX;
    if (files->machine >= 0 && text_of(files->machine, text, sizeof text) > 0) {
        uint64_t available = value_of("MemAvailable", text);
        if (available > 0)
            least = (int64_t)((available + value_of("SwapFree", text)) * 1024);
    }
    for (int index = 0; index < files->count; index++) {
        const struct cmem_group *group = &files->groups[index];
        uint64_t limit, usage, cached = 0;
        if (!number_in(group->limit, &limit) || !number_in(group->usage, &usage)) continue;
        if (group->statistics >= 0 && text_of(group->statistics, text, sizeof text) > 0) {
            cached = group->unified
                ? value_of("inactive_file", text) + value_of("active_file", text)
                : value_of("total_inactive_file", text) + value_of("total_active_file", text);
        }
        uint64_t taken = usage > cached ? usage - cached : 0;
        int64_t left = (int64_t)limit - (int64_t)taken;
        if (left < least) least = left;
    }
    return least == INT64_MAX ? least : least - files->reserve;
}

// Pages that nobody has and nobody was promised.
static int64_t free_pages(void) {
    int64_t bytes = cmem_headroom_bytes(&watched);
    if (bytes == INT64_MAX) return PLENTY;
    // Rounded down, also below 0.
    return (bytes >> 12) - __atomic_load_n(&cmem_budget_promised, __ATOMIC_RELAXED);
}

static bool begin_look(void) {
    if (!__atomic_load_n(&is_watching, __ATOMIC_ACQUIRE)) return false;
    while (__atomic_exchange_n(&is_looking, 1, __ATOMIC_ACQUIRE)) sched_yield();
    return true;
}

static void end_look(void) { __atomic_store_n(&is_looking, 0, __ATOMIC_RELEASE); }

// Fills the budget for who wants so many pages.
static void fill(int64_t wanted) {
    // What is drawn from here on stays counted off.
    int64_t before = cmem_budget_left();
    int64_t free = free_pages();
    int64_t piece = free / PIECES;
    if (piece < LEAST_PIECE) piece = LEAST_PIECE;
    if (piece > MOST_PIECE) piece = MOST_PIECE;
    if (piece < wanted) piece = wanted;
    if (piece > free) piece = free;
    if (free >= PLENTY) piece = PLENTY;
    __atomic_fetch_add(&cmem_budget_pages, piece - before, __ATOMIC_RELAXED);
    __atomic_store_n(&last_look, cmem_monotonic_nanoseconds(), __ATOMIC_RELAXED);
}

bool cmem_budget_has(int64_t pages) {
    if (!__atomic_load_n(&is_watching, __ATOMIC_RELAXED)) return true;
    uint64_t age =
        cmem_monotonic_nanoseconds() - __atomic_load_n(&last_look, __ATOMIC_RELAXED);
    if (cmem_budget_left() >= pages && age < FRESH_NANOSECONDS) return true;
    if (!begin_look()) return true;
    // Another may have looked while this one waited.
    if (cmem_budget_left() < pages || age >= FRESH_NANOSECONDS) fill(pages);
    end_look();
    return cmem_budget_left() >= pages;
}

bool cmem_budget_take(int64_t pages) {
    // Others may be faster, each time only by taking some.
    while (cmem_budget_has(pages)) {
        int64_t left = cmem_budget_left();
        while (left >= pages) {
            if (__atomic_compare_exchange_n(&cmem_budget_pages, &left, left - pages, true,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                return true;
        }
        if (!__atomic_load_n(&is_watching, __ATOMIC_RELAXED)) return true;
    }
    return false;
}

void cmem_budget_refresh(void) {
    if (!begin_look()) return;
    fill(0);
    end_look();
}

int64_t cmem_budget_claim(int64_t pages) {
    if (!begin_look()) return 0;
    int64_t missing = pages - free_pages();
    if (missing <= 0) {
        cmem_budget_promise(pages);
        missing = 0;
    }
    fill(0);
    end_look();
    return missing;
}

int64_t cmem_budget_available(void) {
    if (!begin_look()) return PLENTY;
    int64_t free = free_pages();
    end_look();
    return free > 0 ? free : 0;
}

bool cmem_budget_is_tight(void) { return cmem_budget_available() < 524288; }

uint64_t cmem_resident(const void *start) {
    unsigned char pages[64];
    uint64_t bits = 0;
    if (mincore((void *)(uintptr_t)start, sizeof pages * PAGE_BYTES, pages) != 0) return 0;
    for (int page = 0; page < 64; page++) bits |= (uint64_t)(pages[page] & 1) << page;
    return bits;
}

void cmem_budget_watch(const struct cmem_headroom *files) {
    static int once;
    if (__atomic_exchange_n(&once, 1, __ATOMIC_ACQ_REL)) return;
    watched = *files;
    __atomic_store_n(&is_watching, 1, __ATOMIC_RELEASE);
    cmem_budget_refresh();
}
