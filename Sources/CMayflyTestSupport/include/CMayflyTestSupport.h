// System calls for the POSIX suite in a shape that Swift can call.
//
// Every function answers a value of 0 or more, or minus the errno. Paths are bytes that end in a
// NUL, not text. Identity calls go to the kernel directly and so change the calling thread alone.
#ifndef CPOSIX_SUPPORT_H
#define CPOSIX_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

struct cps_time {
    int64_t seconds;
    int64_t nanoseconds;
};

// What statx(2) says, without its padding.
struct cps_stat {
    uint64_t inode, size, blocks, attributes, device;
    uint32_t mask, mode, links, uid, gid, block_size, device_major, device_minor;
    struct cps_time access, change, modification, birth;
};

struct cps_statfs {
    uint64_t type, block_size, blocks, blocks_free, blocks_available, files, files_free, name_max;
};

// Constants whose macros Swift does not import.
static const int32_t CPS_O_TMPFILE = 020200000;
static const int32_t CPS_O_DIRECT = 040000;
static const int32_t CPS_O_PATH = 010000000;
static const int32_t CPS_O_NOATIME = 01000000;
static const int32_t CPS_AT_FDCWD = -100;
static const int32_t CPS_AT_SYMLINK_FOLLOW = 0x400;
static const int32_t CPS_AT_EMPTY_PATH = 0x1000;

// What a symbolic link leads to.
static const int32_t CPS_STAT_FOLLOW = 1;
// From the file system, not from what the kernel has cached.
static const int32_t CPS_STAT_FORCED = 2;
// The birth time too, of which the kernel caches none.
static const int32_t CPS_STAT_BIRTH = 4;

static const uint32_t CPS_RENAME_NOREPLACE = 1;
static const uint32_t CPS_RENAME_EXCHANGE = 2;
static const uint32_t CPS_RENAME_WHITEOUT = 4;
static const int32_t CPS_FALLOC_KEEP_SIZE = 0x01;
static const int32_t CPS_FALLOC_PUNCH_HOLE = 0x02;
static const int32_t CPS_FALLOC_COLLAPSE_RANGE = 0x08;
static const int32_t CPS_FALLOC_ZERO_RANGE = 0x10;
static const int32_t CPS_FALLOC_INSERT_RANGE = 0x20;
static const int32_t CPS_FALLOC_UNSHARE_RANGE = 0x40;
static const int32_t CPS_SEEK_DATA = 3;
static const int32_t CPS_SEEK_HOLE = 4;
static const int32_t CPS_XATTR_CREATE = 1;
static const int32_t CPS_XATTR_REPLACE = 2;
static const uint32_t CPS_FS_APPEND = 0x20;
static const uint32_t CPS_FS_IMMUTABLE = 0x10;
static const uint32_t CPS_FS_NODUMP = 0x40;
static const uint32_t CPS_FS_NOATIME = 0x80;
static const uint32_t CPS_FS_COMPRESSED = 0x04;
static const int64_t CPS_UTIME_NOW = 0x3fffffff;
static const int64_t CPS_UTIME_OMIT = 0x3ffffffe;
static const uint32_t CPS_STATX_BTIME = 0x800;

// Files.
int64_t cps_open(int32_t directory, const void *path, int32_t flags, uint32_t mode);
int64_t cps_close(int32_t fd);
int64_t cps_read(int32_t fd, void *target, size_t count);
int64_t cps_write(int32_t fd, const void *source, size_t count);
int64_t cps_pread(int32_t fd, void *target, size_t count, int64_t offset);
int64_t cps_pwrite(int32_t fd, const void *source, size_t count, int64_t offset);
// Scatters into, or gathers from, pieces of the given lengths that lie one after another.
int64_t cps_preadv(int32_t fd, void *target, const size_t *lengths, int32_t count, int64_t offset);
int64_t cps_pwritev(
    int32_t fd, const void *source, const size_t *lengths, int32_t count, int64_t offset);
// Direct transfers need aligned memory: these copy through an aligned buffer.
int64_t cps_pread_aligned(int32_t fd, void *target, size_t count, int64_t offset);
int64_t cps_pwrite_aligned(int32_t fd, const void *source, size_t count, int64_t offset);
int64_t cps_seek(int32_t fd, int64_t offset, int32_t whence);
int64_t cps_truncate(const void *path, int64_t size);
int64_t cps_ftruncate(int32_t fd, int64_t size);
int64_t cps_fallocate(int32_t fd, int32_t mode, int64_t offset, int64_t length);
int64_t cps_fsync(int32_t fd, int32_t data_only);
int64_t cps_copy_file_range(
    int32_t from, int64_t from_offset, int32_t to, int64_t to_offset, size_t length);
int64_t cps_sendfile(int32_t to, int32_t from, int64_t offset, size_t length);
int64_t cps_set_status_flags(int32_t fd, int32_t flags);

// Names.
int64_t cps_mkdir(const void *path, uint32_t mode);
int64_t cps_rmdir(const void *path);
int64_t cps_unlink(const void *path);
int64_t cps_rename(const void *from, const void *to, uint32_t flags);
int64_t cps_link(int32_t directory, const void *from, const void *to, int32_t flags);
int64_t cps_symlink(const void *target, const void *path);
int64_t cps_readlink(const void *path, void *target, size_t count);
int64_t cps_mknod(const void *path, uint32_t mode, uint32_t major, uint32_t minor);
int64_t cps_getdents(int32_t fd, void *target, size_t count);
int64_t cps_name_to_handle(
    const void *path, void *handle, uint32_t *handle_bytes, int32_t *handle_type);
int64_t cps_open_by_handle(
    int32_t mount, const void *handle, uint32_t handle_bytes, int32_t handle_type, int32_t flags);

// Attributes. An empty path means the descriptor itself.
// statx(2) as CPS_STAT_... say.
int64_t cps_stat(int32_t fd, const void *path, int32_t how, struct cps_stat *target);
int64_t cps_statfs(const void *path, struct cps_statfs *target);
int64_t cps_chmod(const void *path, uint32_t mode);
int64_t cps_fchmod(int32_t fd, uint32_t mode);
int64_t cps_chown(const void *path, uint32_t uid, uint32_t gid, int32_t follow);
int64_t cps_fchown(int32_t fd, uint32_t uid, uint32_t gid);
int64_t cps_access(const void *path, int32_t mode);
int64_t cps_utimens(
    const void *path, const struct cps_time *access, const struct cps_time *modification,
    int32_t follow);
int64_t cps_utimens_null(const void *path);
int64_t cps_get_flags(int32_t fd, uint32_t *flags);
int64_t cps_set_flags(int32_t fd, uint32_t flags);
int64_t cps_setxattr(
    const void *path, const void *name, const void *value, size_t count, int32_t flags,
    int32_t follow);
int64_t cps_getxattr(
    const void *path, const void *name, void *target, size_t count, int32_t follow);
int64_t cps_listxattr(const void *path, void *target, size_t count, int32_t follow);
int64_t cps_removexattr(const void *path, const void *name, int32_t follow);
int64_t cps_fsetxattr(
    int32_t fd, const void *name, const void *value, size_t count, int32_t flags);
int64_t cps_fgetxattr(int32_t fd, const void *name, void *target, size_t count);

// Locks. type is F_RDLCK, F_WRLCK or F_UNLCK; open_file chooses locks of the open file.
int64_t cps_lock(
    int32_t fd, int32_t type, int64_t start, int64_t length, int32_t open_file, int32_t wait);
// The type of the lock that stands in the way of this one, F_UNLCK when there is none.
int64_t cps_lock_test(int32_t fd, int32_t type, int64_t start, int64_t length, int32_t open_file);
// Tries the lock in a child process that opens path anew, and gives the child's result.
int64_t cps_lock_in_child(
    const void *path, int32_t type, int64_t start, int64_t length, int32_t open_file);
int64_t cps_flock(int32_t fd, int32_t operation);

// Sockets, in the name space of the file system.
int64_t cps_socket_bind(const void *path);
int64_t cps_socket_connect(const void *path);

// Processes and threads. arguments holds count strings, one after another, each with its NUL.
int64_t cps_spawn(const void *arguments, int32_t count, int32_t quiet);
// The exit status, or 256 and the signal; -EAGAIN when wait is 0 and the process still runs.
int64_t cps_wait(int64_t process, int32_t wait);
int64_t cps_kill(int64_t process, int32_t signal);
int64_t cps_become(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count);
// Gives the calling thread a umask and a working directory of its own.
int64_t cps_unshare_fs(void);
// Joins a pthread_t; -ETIMEDOUT when it still runs after so many seconds.
int64_t cps_join(uint64_t thread, int64_t seconds);

// Whether epoll_ctl(2) adds a file: 0, or a negative errno.
int64_t cps_epoll_takes(int32_t file);

// Mounts.
int64_t cps_mount_tmpfs(const void *target, const void *options);
int64_t cps_unmount(const void *target, int32_t lazily);

#include "cps_differential.h"
#include "cps_durability.h"
#include "cps_steps.h"

#endif
