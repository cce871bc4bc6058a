// What the oracle of power losses needs beside the POSIX suite's calls. The answers are of the same form.
#ifndef CPOSIX_DURABILITY_H
#define CPOSIX_DURABILITY_H

static const int32_t CPP_RWF_DSYNC = 2;
static const int32_t CPP_RWF_SYNC = 4;

// pwritev2(2) with CPP_RWF_... or 0, from memory that is aligned for O_DIRECT.
int64_t cpp_pwrite(int32_t fd, const void *source, size_t count, int64_t offset, int32_t flags);
int64_t cpp_syncfs(int32_t fd);
// sync_file_range(2) of the whole file: waits for the pages, and asks for no sync.
int64_t cpp_write_back(int32_t fd);

#endif
