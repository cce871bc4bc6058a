#include "cmem_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int cmem_pagemap_open(void) { return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC); }

// linux/fs.h of Linux 6.7, which older headers do not have.
struct scan_region {
    uint64_t start, end, categories;
};
struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
_Static_assert(sizeof(struct scan) == 96, "struct pm_scan_arg");
enum { PAGE_FILE = 1 << 2, PAGE_PRESENT = 1 << 3, PAGE_SWAPPED = 1 << 4, PAGE_ZERO = 1 << 5 };

int cmem_private_runs(int pagemap, uint64_t *at, uint64_t end, struct cmem_run *runs,
                      int capacity) {
    struct scan_region found[256];
    int most = capacity < 256 ? capacity : 256;
    struct scan scan = {
        .size = sizeof scan,
        .start = *at,
        .end = end,
        .vec = (uint64_t)(uintptr_t)found,
        .vec_len = (uint64_t)most,
        .category_inverted = PAGE_FILE | PAGE_ZERO,
        .category_mask = PAGE_FILE | PAGE_ZERO,
        .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
        .return_mask = PAGE_PRESENT,
    };
    int count;
    do {
        count = ioctl(pagemap, _IOWR('f', 16, struct scan), &scan);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -1;
    for (int i = 0; i < count; i++) {
        runs[i].start = found[i].start;
        runs[i].end = found[i].end;
    }
    *at = scan.walk_end;
    return count;
}

// pidfd_open(2) and process_madvise(2), which older headers do not have.
enum { PIDFD_OPEN = 434, PROCESS_MADVISE = 440, RELEASED_AT_ONCE = 512 };

int cmem_release(void *start, size_t count) {
    if (madvise(start, count, MADV_DONTNEED) == 0) return 0;
    return madvise(start, count, 24 /* MADV_DONTNEED_LOCKED */) == 0 ? 0 : errno;
}

int cmem_release_runs(void *base, const struct cmem_run *runs, size_t count) {
    char *start = base;
    int self = count > 1 ? (int)syscall(PIDFD_OPEN, getpid(), 0) : -1;
    while (self >= 0 && count > 0) {
        struct iovec vector[RELEASED_AT_ONCE];
        size_t now = count < RELEASED_AT_ONCE ? count : RELEASED_AT_ONCE;
        size_t bytes = 0;
        for (size_t i = 0; i < now; i++) {
            size_t length = runs[i].end - runs[i].start;
            vector[i] = (struct iovec){start + runs[i].start, length};
            bytes += length;
        }
        long done = syscall(PROCESS_MADVISE, self, vector, now, MADV_DONTNEED, 0u);
        if (done < 0 || (size_t)done != bytes) break;
        runs += now;
        count -= now;
    }
    if (self >= 0) close(self);
    // What is left, or all of it; a page may be given back twice.
    for (; count > 0; count--, runs++) {
        int error = cmem_release(start + runs->start, runs->end - runs->start);
        if (error) return error;
    }
    return 0;
}

uint64_t cmem_page_checksum(const void *page, uint64_t number) {
    const uint64_t *words = page;
    uint64_t any = 0, lanes[4] = {1, 2, 3, 4};
    for (int i = 0; i < 512; i += 4) {
        for (int lane = 0; lane < 4; lane++) {
            uint64_t word = words[i + lane];
            any |= word;
            lanes[lane] = (lanes[lane] ^ word) * 0x9E3779B97F4A7C15u;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    }
    if (any == 0) return 0;
    uint64_t sum = number;
    for (int lane = 0; lane < 4; lane++) {
        sum = (sum ^ lanes[lane]) * 0xD6E8FEB86659FD93u;
        sum ^= sum >> 32;
    }
    return sum;
}
