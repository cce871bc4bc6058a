// Waiting for a word to change: futex(2), between threads of one process.
#ifndef CMEM_FUTEX_H
#define CMEM_FUTEX_H

#include "CMayflyMemory.h"

// Sleeps while the word has the expected value, for so long at most; a negative time is for ever.
// Also returns early, as futex(2) does: the caller looks at the word again.
void cmem_futex_wait(const void *word, uint32_t expected, int64_t milliseconds);

// Wakes everybody who sleeps on the word.
CMEM_NO_LOCKS void cmem_futex_wake(const void *word);

// Gives free memory of the C library's heap back to the system: malloc_trim(3).
void cmem_trim_heap(void);

#endif
