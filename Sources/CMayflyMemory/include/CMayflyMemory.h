// Shims over libc and the processor that Swift code on the request path may call.
//
// The compiler accepts a C callee inside a `@_noLocks` function only when it carries the attribute
// itself; these do, and none of them takes a lock, allocates or counts references.
#ifndef CMAYFLY_MEMORY_H
#define CMAYFLY_MEMORY_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CMEM_NO_LOCKS __attribute__((swift_attr("@_noLocks")))

// Swift's thread sanitizer does not look into C, nor at what the C library does for it. With
// -Xcc -DCMEM_WATCH the functions below tell it what they touch.
#ifdef CMEM_WATCH
extern void __tsan_read_range(const void *address, unsigned long count);
extern void __tsan_write_range(void *address, unsigned long count);
#define CMEM_READS(address, count) __tsan_read_range(address, count)
#define CMEM_WRITES(address, count) __tsan_write_range(address, count)
#else
#define CMEM_READS(address, count) ((void)0)
#define CMEM_WRITES(address, count) ((void)0)
#endif

// Copies count bytes; the areas do not overlap.
CMEM_NO_LOCKS static inline void cmem_copy(void *target, const void *source, size_t count) {
    CMEM_READS(source, count);
    CMEM_WRITES(target, count);
    memcpy(target, source, count);
}

// Sets count bytes to zero.
CMEM_NO_LOCKS static inline void cmem_zero(void *target, size_t count) {
    CMEM_WRITES(target, count);
    memset(target, 0, count);
}

// 0 when the two areas of count bytes are equal.
CMEM_NO_LOCKS static inline int cmem_compare(const void *a, const void *b, size_t count) {
    CMEM_READS(a, count);
    CMEM_READS(b, count);
    return memcmp(a, b, count);
}

// Tells the processor that this is a spin loop.
CMEM_NO_LOCKS static inline void cmem_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Keeps the compiler from moving stores over this place. The processor carries out one thread's stores
// in the order of the program, as far as those can see it who look after the thread is dead.
CMEM_NO_LOCKS static inline void cmem_keep_order(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

// Gives the processor to another thread: sched_yield(2).
CMEM_NO_LOCKS static inline void cmem_yield(void) { sched_yield(); }

// Gives the processor away for so long: clock_nanosleep(2).
CMEM_NO_LOCKS static inline void cmem_nap(uint32_t microseconds) {
    struct timespec time = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

// The number of the calling thread: gettid(2).
CMEM_NO_LOCKS static inline int32_t cmem_thread(void) { return (int32_t)syscall(SYS_gettid); }

// The number of a process's session, 0 or below where it is not known: getsid(2).
CMEM_NO_LOCKS static inline int32_t cmem_session(int32_t process) { return getsid(process); }

// A time of the wall clock; nanoseconds are below 1e9.
struct cmem_time {
    int64_t seconds;
    uint32_t nanoseconds;
};

// Now, from clock_gettime(2), CLOCK_REALTIME, through the vDSO.
CMEM_NO_LOCKS static inline struct cmem_time cmem_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct cmem_time){now.tv_sec, (uint32_t)now.tv_nsec};
}

// Nanoseconds of CLOCK_MONOTONIC.
CMEM_NO_LOCKS static inline uint64_t cmem_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Zero pages, or NULL: mmap(2). For the rare growth of a list that a request leads to.
CMEM_NO_LOCKS static inline void *cmem_map(size_t bytes) {
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

// Gives them back: munmap(2).
CMEM_NO_LOCKS static inline void cmem_unmap(void *address, size_t bytes) { munmap(address, bytes); }

// Gives the memory of whole pages back, which are zeros afterwards: madvise(2), DONTNEED.
CMEM_NO_LOCKS static inline void cmem_drop(void *address, size_t bytes) {
    madvise(address, bytes, MADV_DONTNEED);
}

// Prefers memory of the given NUMA node for a range: mbind(2) with MPOL_PREFERRED.
// Returns 0, or -1 with errno; a kernel without NUMA answers ENOSYS.
static inline int cmem_prefer_node(void *address, size_t bytes, int node) {
    unsigned long mask[16] = {0};
    if (node < 0 || node >= (int)(sizeof mask * 8)) return -1;
    mask[(size_t)node / (8 * sizeof(long))] = 1ul << ((size_t)node % (8 * sizeof(long)));
    return (int)syscall(SYS_mbind, address, bytes, 1 /* MPOL_PREFERRED */, mask, sizeof mask * 8, 0);
}

#endif
