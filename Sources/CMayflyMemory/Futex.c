#include "cmem_futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>

void cmem_futex_wait(const void *word, uint32_t expected, int64_t milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, milliseconds < 0 ? NULL : &time, NULL, 0);
}

void cmem_futex_wake(const void *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void cmem_trim_heap(void) { malloc_trim(0); }
