#include "CCounters.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static __thread struct ccounters counters;

struct ccounters ccounters_now(void) { return counters; }

// The C library's own.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t bytes) {
    counters.allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    counters.allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    counters.allocations++;
    return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    counters.allocations++;
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    *memory = memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

// The runtime's. Their calling convention is C's on x86-64, and on arm64 the compiler calls
// variants for single registers, which these do not stand for.
#define STAND_IN(result, name, parameters, arguments, counter, amount)                             \
    result name parameters {                                                                       \
        static result(*_Atomic real) parameters;                                                   \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                           \
        counters.counter += (long)(amount);                                                        \
        return real arguments;                                                                     \
    }

STAND_IN(void *, swift_retain, (void *object), (object), retains, 1)
STAND_IN(void *, swift_retain_n, (void *object, uint32_t count), (object, count), retains, count)
STAND_IN(void *, swift_bridgeObjectRetain, (void *object), (object), retains, 1)
STAND_IN(void, swift_release, (void *object), (object), releases, 1)
STAND_IN(void, swift_release_n, (void *object, uint32_t count), (object, count), releases, count)
STAND_IN(void, swift_bridgeObjectRelease, (void *object), (object), releases, 1)
