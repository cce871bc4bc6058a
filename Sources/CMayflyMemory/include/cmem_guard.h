// Files that a store reads, or maps, watched so that a change of them is no wrong answer and no signal.
#ifndef CMEM_GUARD_H
#define CMEM_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CMayflyMemory.h"
#include "cmem_presence.h"

struct cmem_guard;

// Where a range of an image lies when it is not at the same place of the first file.
struct cmem_source {
    uint64_t start, end;
    // Number of the file, and the range's place there.
    uint32_t file;
    uint64_t place;
};

// Watches open files as they are now; they must stay open. What the guard reads is the first one's, of
// which `first_bytes` count, but for what the sources say, which are in ascending order; beyond it there
// are zeros. Without sources there is one file, of any length. NULL without memory.
struct cmem_guard *cmem_guard_make(const int *files, size_t file_count, uint64_t first_bytes,
                                   const struct cmem_source *sources, size_t source_count);

// Of an image of which not all is here yet: a read of what lacks fails with CMEM_MISSING, and a file is watched from
// when it has its name. The table's files are the guard's, and it outlives the guard.
void cmem_guard_set_presence(struct cmem_guard *guard, struct cmem_presence *presence);

// The table; NULL where all was here from the beginning.
CMEM_NO_LOCKS struct cmem_presence *cmem_guard_presence(const struct cmem_guard *guard);

// Waits for what `cmem_guard_read` would read. Returns 0, or EIO where it does not come.
int cmem_guard_await(const struct cmem_guard *guard, size_t count, uint64_t offset);

// Ends watching. No region may have the guard any more.
void cmem_guard_free(struct cmem_guard *guard);

// Whether a change was noted before. A load.
CMEM_NO_LOCKS bool cmem_guard_was_changed(const struct cmem_guard *guard);

// Whether a file is another than it was, now or ever since: its size, its time of modification, or its
// time of change where neither its mode, its owner nor its links account for that. Notes it. fstat(2) of each.
CMEM_NO_LOCKS bool cmem_guard_is_changed(struct cmem_guard *guard);

// Reads what the files have: pread(2). Returns 0 or an errno; EIO at the end of the file, CMEM_MISSING for what
// is not here yet.
CMEM_NO_LOCKS int cmem_guard_read(const struct cmem_guard *guard, void *target, size_t count,
                                  uint64_t offset);

// From here on SIGBUS in this range of memory ends nobody: the page becomes zeros, and the change is
// noted. Returns 0 or an errno; ENOSPC for more ranges than there may be.
//
// With the first range of a process its handler of SIGBUS is installed; a fault elsewhere goes to the
// handler that was there before. With the last that one is put back, unless somebody has replaced ours.
int cmem_guard_range(struct cmem_guard *guard, const void *start, size_t bytes);

// Gives up the range that begins there, if there is one.
void cmem_unguard_range(const void *start);

#endif
