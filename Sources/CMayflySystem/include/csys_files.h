// What of files the Glibc module leaves out.
#ifndef CSYS_FILES_H
#define CSYS_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// O_DIRECT as open(2) and FUSE_OPEN have it, and O_TMPFILE; <fcntl.h> names them to _GNU_SOURCE alone.
// Source: arch/arm64/include/uapi/asm/fcntl.h, include/uapi/asm-generic/fcntl.h.
#if defined(__aarch64__)
static const uint32_t CSYS_O_DIRECT = 0200000;
static const int32_t CSYS_O_TMPFILE = 020040000;
#else
static const uint32_t CSYS_O_DIRECT = 040000;
static const int32_t CSYS_O_TMPFILE = 020200000;
#endif

// O_PATH, which is the same everywhere but on alpha, parisc and sparc.
static const int32_t CSYS_O_PATH = 010000000;

// Whether a file lies in procfs, whose links lead to open files: fstatfs(2).
int csys_is_in_procfs(int file);

// Opens a file for reading and writing past the page cache: O_DIRECT. Makes it where there is none.
// Returns the descriptor, or minus the errno: EINVAL where the file system cannot do that.
// Source: open(2).
int csys_open_direct(int directory, const char *name);

// Asks a file for an extended attribute. Returns 0 when the file has it, or the errno: ENODATA when
// it has not, EOPNOTSUPP where there are none.
// Source: fgetxattr(2).
int csys_ask_attribute(int file, const char *name);

// An anonymous file in memory: memfd_create(2). Returns a descriptor, or -1 with errno.
int csys_memory_file(const char *name);

// Lets nobody change a file in memory any more, not even us: fcntl(2), F_ADD_SEALS. Returns 0 or an
// errno; EBUSY while it is mapped to be written.
int csys_seal(int descriptor);

// Copies what a file has in a range to the same place of another one; holes are left out. Returns 0 or an
// errno; EIO where the file ends before.
int csys_copy_range(int from, int to, uint64_t offset, uint64_t count);

// Writes everything, whatever the calls take at once: pwrite(2). Returns 0 or an errno.
int csys_write_all(int descriptor, const void *bytes, size_t count, uint64_t offset);

// Reads everything: pread(2). Returns 0 or an errno; EIO at the end of the file.
int csys_read_all(int descriptor, void *bytes, size_t count, uint64_t offset);

// Makes room on disk for a range, without changing the file's size: fallocate(2). Returns 0, or an
// errno; a file system that cannot is 0 as well.
int csys_reserve(int descriptor, uint64_t offset, uint64_t count);

// Makes a range a hole: fallocate(2). Returns 0 or an errno.
int csys_punch(int descriptor, uint64_t offset, uint64_t count);

// Writes what programs have changed in mappings of the file system of a directory: syncfs(2).
// Returns 0 or an errno; EXDEV where the directory is on another device than the given one.
int csys_sync_mount(const char *directory, uint32_t minor);

// Opens a file or directory of a device for its place alone: O_PATH. The kernel looks its name up, and
// nothing else happens. Stores its st_ino. Returns a descriptor or a negative errno; -EXDEV where it is on
// another device than 0:minor.
int csys_open_on_device(int directory, const char *path, uint32_t minor, uint64_t *inode);

// Extended attributes of what a path leads to, which may be a link of procfs to something open: listxattr(2),
// getxattr(2), setxattr(2) and removexattr(2), which set errno.
ssize_t csys_list_attributes(const char *path, char *names, size_t count);
ssize_t csys_get_attribute(const char *path, const char *name, void *value, size_t count);
int csys_set_attribute(const char *path, const char *name, const void *value, size_t count);
int csys_remove_attribute(const char *path, const char *name);

// Writes all that a file system has not written yet: syncfs(2). Returns 0 or an errno.
int csys_sync_file_system(int file);

// Gives what has a name in one open folder the flags of chattr(1) that another has, as far as its file system
// has flags: all that programs set, or without "all" those that hinder no later rename. Returns 0 or an errno,
// without "all" always 0.
int csys_copy_file_flags(int from, const char *name, int to, const char *target, int all);

#endif
