// Memory that this process may still take, asked for before it is touched.
//
// Linux promises memory that it does not have and kills a process when the promise falls due. So
// all stores of a process draw on one budget, in pages of 4 KiB. It is filled from what the machine
// and the memory cgroups have left, in pieces of an eighth of that, so that several servers in one
// cgroup do not promise the same memory. Who finds too little in it looks again at once.
//
// Until cmem_budget_watch is called there is no limit.
//
// Ordering: every word is changed by atomic additions and guards no other memory.
#ifndef CMEM_BUDGET_H
#define CMEM_BUDGET_H

#include "CMayflyMemory.h"

#include <stdbool.h>

// Files of a memory cgroup, open for reading; -1 where there is none.
struct cmem_group {
    int limit, usage, statistics;
    bool unified;
};

enum { CMEM_GROUPS = 32 };

// What tells how much memory there is.
struct cmem_headroom {
    int machine; // /proc/meminfo
    int count;
    struct cmem_group groups[CMEM_GROUPS];
    int64_t reserve; // bytes that are left to others
};

// Bytes that can be had without the reserve, below 0 where that is being used; INT64_MAX when
// nobody tells. What the page cache holds counts as free: the kernel takes it back first.
//
// Source: proc_meminfo(5), MemAvailable; cgroups(7); Documentation/admin-guide/cgroup-v1/memory.rst.
int64_t cmem_headroom_bytes(const struct cmem_headroom *files);

// Has the budget filled from these files from now on; they stay open. The first call counts.
void cmem_budget_watch(const struct cmem_headroom *files);

extern int64_t cmem_budget_pages;

// Pages that may be taken without asking again. Below 0: more was taken than there was.
CMEM_NO_LOCKS static inline int64_t cmem_budget_left(void) {
    return __atomic_load_n(&cmem_budget_pages, __ATOMIC_RELAXED);
}

// Whether there is so little that it must be known what each part of the server takes: 2 GiB.
CMEM_NO_LOCKS bool cmem_budget_is_tight(void);

// Counts pages off that are being taken in any case.
CMEM_NO_LOCKS static inline void cmem_budget_draw(int64_t pages) {
    __atomic_fetch_sub(&cmem_budget_pages, pages, __ATOMIC_RELAXED);
}

// Whether so many pages are left, after a second look where not. A number below 0 asks how far the
// budget is overdrawn.
CMEM_NO_LOCKS bool cmem_budget_has(int64_t pages);

// Counts pages off if they are left.
CMEM_NO_LOCKS bool cmem_budget_take(int64_t pages);

// Looks again how much there is.
CMEM_NO_LOCKS void cmem_budget_refresh(void);

// Adds to, or with a number below 0 takes from, the pages that were promised and not touched yet.
CMEM_NO_LOCKS static inline void cmem_budget_promise(int64_t pages) {
    extern int64_t cmem_budget_promised;
    __atomic_fetch_add(&cmem_budget_promised, pages, __ATOMIC_RELAXED);
}

// The same, for something whose size is known before: returns 0, or the pages that are missing,
// and nothing is promised then.
int64_t cmem_budget_claim(int64_t pages);

// A bit for each of the 64 pages from start that is in memory, the first in the lowest: mincore(2).
CMEM_NO_LOCKS uint64_t cmem_resident(const void *start);

// Pages that could be claimed now; 0 or more.
int64_t cmem_budget_available(void);

#endif
