// What of files the Glibc module leaves out.
#ifndef CMEM_FILES_H
#define CMEM_FILES_H

#include <stdint.h>

// O_DIRECT as open(2) and FUSE_OPEN have it, and O_TMPFILE; <fcntl.h> names them to _GNU_SOURCE alone.
// Source: arch/arm64/include/uapi/asm/fcntl.h, include/uapi/asm-generic/fcntl.h.
#if defined(__aarch64__)
static const uint32_t CMEM_O_DIRECT = 0200000;
static const int32_t CMEM_O_TMPFILE = 020040000;
#else
static const uint32_t CMEM_O_DIRECT = 040000;
static const int32_t CMEM_O_TMPFILE = 020200000;
#endif

// O_PATH, which is the same everywhere but on alpha, parisc and sparc.
static const int32_t CMEM_O_PATH = 010000000;

// Whether a file lies in procfs, whose links lead to open files: fstatfs(2).
int cmem_is_in_procfs(int file);

// Opens a file for reading and writing past the page cache: O_DIRECT. Makes it where there is none.
// Returns the descriptor, or minus the errno: EINVAL where the file system cannot do that.
// Source: open(2).
int cmem_open_direct(int directory, const char *name);

// Asks a file for an extended attribute. Returns 0 when the file has it, or the errno: ENODATA when
// it has not, EOPNOTSUPP where there are none.
// Source: fgetxattr(2).
int cmem_ask_attribute(int file, const char *name);

#endif
