/* What the machine charges for memory: copies of a payload, and the first touch of 2 MiB.
 *
 *     cc -O2 -o machine machine.c && ./machine
 *
 * Copies go from places all over 256 MiB to one buffer, as a READ's do; microseconds each, the median of 5,000.
 * First touches are of memory that the system has not given yet, in huge pages and small, the median and the
 * 99th of 100 of 256; the second pass touches what the first has given back, which a virtual machine's host still has.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}
static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void plain(void *to, const void *from, size_t count) { memcpy(to, from, count); }
static void movsb(void *to, const void *from, size_t count) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}
/* Past the caches. */
static void stream(void *to, const void *from, size_t count) {
    for (size_t i = 0; i < count; i += 16)
        _mm_stream_si128((__m128i *)((char *)to + i), _mm_loadu_si128((const __m128i *)((const char *)from + i)));
    _mm_sfence();
}

static void *map(size_t bytes, int advice) {
    char *p = mmap(0, bytes + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) exit(1);
    p = (char *)(((unsigned long)p + (2 << 20) - 1) & ~((2ul << 20) - 1));
    madvise(p, bytes, advice);
    return p;
}

int main(void) {
    size_t all = 256 << 20, sizes[] = {4 << 10, 64 << 10, 1 << 20};
    struct { const char *name; void (*copy)(void *, const void *, size_t); } ways[] = {
        {"memcpy", plain}, {"rep movsb", movsb}, {"past the caches", stream}};
    char *from = map(all, MADV_HUGEPAGE), *to = map(2 << 20, MADV_HUGEPAGE);
    memset(from, 1, all);
    memset(to, 1, 2 << 20);
    static double times[5000];
    printf("%-18s%12s%12s%12s\n", "copy, us", "4 KiB", "64 KiB", "1 MiB");
    for (int w = 0; w < 3; w++) {
        printf("%-18s", ways[w].name);
        for (int s = 0; s < 3; s++) {
            unsigned long seed = 1;
            for (int i = 0; i < 5000; i++) {
                seed = seed * 6364136223846793005ul + 1442695040888963407ul;
                const char *at = from + (seed >> 20) % (all / sizes[s]) * sizes[s];
                double begin = now();
                ways[w].copy(to, at, sizes[s]);
                times[i] = now() - begin;
            }
            qsort(times, 5000, sizeof *times, order);
            printf("%12.2f", times[2500]);
        }
        printf("\n");
    }
    printf("\n%-18s%12s%12s%12s%12s\n", "first touch, us", "median", "p99", "again", "p99");
    int count = 256;
    for (int huge = 1; huge >= 0; huge--) {
        char *p = map((size_t)count << 21, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        printf("%-18s", huge ? "2 MiB, huge" : "2 MiB, small");
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < count; i++) {
                char *chunk = p + ((size_t)i << 21);
                double begin = now();
                for (int page = 0; page < 512; page++) *(volatile char *)(chunk + page * 4096) = 1;
                times[i] = now() - begin;
            }
            qsort(times, count, sizeof *times, order);
            printf("%12.0f%12.0f", times[count / 2], times[count * 99 / 100]);
            madvise(p, (size_t)count << 21, MADV_DONTNEED);
        }
        printf("\n");
        munmap(p, (size_t)count << 21);
    }
}
