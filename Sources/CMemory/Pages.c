#include "cmem_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
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

int cmem_memory_file(const char *name) {
    return (int)syscall(SYS_memfd_create, name, 3u /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
}

int cmem_seal(int descriptor) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    return fcntl(descriptor, F_ADD_SEALS, seals) == 0 ? 0 : errno;
}

int cmem_copy_range(int from, int to, uint64_t offset, uint64_t count) {
    enum { BUFFER = 256 << 10 };
    char *buffer = malloc(BUFFER);
    if (!buffer) return ENOMEM;
    uint64_t end = offset + count;
    int error = 0;
    while (error == 0 && offset < end) {
        off_t data = lseek(from, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data >= 0) offset = (uint64_t)data;
        off_t hole = data < 0 ? -1 : lseek(from, (off_t)offset, SEEK_HOLE);
        uint64_t stop = hole > (off_t)offset && (uint64_t)hole < end ? (uint64_t)hole : end;
        while (error == 0 && offset < stop) {
            size_t piece = stop - offset < BUFFER ? stop - offset : BUFFER;
            error = cmem_read_all(from, buffer, piece, offset);
            if (error == 0) error = cmem_write_all(to, buffer, piece, offset);
            offset += piece;
        }
    }
    free(buffer);
    return error;
}

int cmem_write_all(int descriptor, const void *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t done = pwrite(descriptor, bytes, count, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : EIO;
        bytes = (const char *)bytes + done;
        count -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

int cmem_read_all(int descriptor, void *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t done = pread(descriptor, bytes, count, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : EIO;
        bytes = (char *)bytes + done;
        count -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

int cmem_reserve(int descriptor, uint64_t offset, uint64_t count) {
    while (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)count) != 0) {
        if (errno == EINTR) continue;
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
    }
    return 0;
}

int cmem_punch(int descriptor, uint64_t offset, uint64_t count) {
    int code = fallocate(descriptor, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)offset,
                         (off_t)count);
    return code == 0 ? 0 : errno;
}

int cmem_open_place(int directory, const char *path, uint32_t minor_number, uint64_t *inode) {
    int descriptor = openat(directory, path, O_PATH | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct stat status;
    int error = 0;
    if (fstat(descriptor, &status) != 0) {
        error = errno;
    } else if (major(status.st_dev) != 0 || minor(status.st_dev) != minor_number) {
        error = EXDEV;
    }
    if (error != 0) {
        close(descriptor);
        return -error;
    }
    *inode = status.st_ino;
    return descriptor;
}

int cmem_sync_mount(const char *directory, uint32_t minor_number) {
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    struct stat status;
    int error = 0;
    if (fstat(descriptor, &status) != 0) {
        error = errno;
    } else if (major(status.st_dev) != 0 || minor(status.st_dev) != minor_number) {
        error = EXDEV;
    } else if (syncfs(descriptor) != 0) {
        error = errno;
    }
    close(descriptor);
    return error;
}
