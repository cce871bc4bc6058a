// See include/CMayflyTestSupport.h.
#include "CMayflyTestSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ANSWER(call)                             \
    do {                                         \
        int64_t result = (int64_t)(call);        \
        return result < 0 ? -(int64_t)errno : result; \
    } while (0)

_Static_assert(O_TMPFILE == 020200000, "O_TMPFILE");
_Static_assert(O_DIRECT == 040000, "O_DIRECT");

int64_t cps_open(int32_t directory, const void *path, int32_t flags, uint32_t mode) {
    ANSWER(openat(directory, path, flags | O_CLOEXEC, mode));
}
int64_t cps_close(int32_t fd) { ANSWER(close(fd)); }
int64_t cps_read(int32_t fd, void *target, size_t count) { ANSWER(read(fd, target, count)); }
int64_t cps_write(int32_t fd, const void *source, size_t count) {
    ANSWER(write(fd, source, count));
}
int64_t cps_pread(int32_t fd, void *target, size_t count, int64_t offset) {
    ANSWER(pread(fd, target, count, offset));
}
int64_t cps_pwrite(int32_t fd, const void *source, size_t count, int64_t offset) {
    ANSWER(pwrite(fd, source, count, offset));
}

static int pieces(struct iovec *vector, void *base, const size_t *lengths, int32_t count) {
    if (count < 0 || count > 64) return -1;
    char *next = base;
    for (int32_t index = 0; index < count; index++) {
        vector[index] = (struct iovec){next, lengths[index]};
        next += lengths[index];
    }
    return 0;
}
int64_t cps_preadv(int32_t fd, void *target, const size_t *lengths, int32_t count, int64_t offset) {
    struct iovec vector[64];
    if (pieces(vector, target, lengths, count)) return -EINVAL;
    ANSWER(preadv(fd, vector, count, offset));
}
int64_t cps_pwritev(
    int32_t fd, const void *source, const size_t *lengths, int32_t count, int64_t offset) {
    struct iovec vector[64];
    if (pieces(vector, (void *)source, lengths, count)) return -EINVAL;
    ANSWER(pwritev(fd, vector, count, offset));
}

int64_t cps_pread_aligned(int32_t fd, void *target, size_t count, int64_t offset) {
    void *aligned = NULL;
    if (posix_memalign(&aligned, 4096, count)) return -ENOMEM;
    int64_t result = pread(fd, aligned, count, offset);
    if (result < 0) result = -errno;
    if (result > 0) memcpy(target, aligned, (size_t)result);
    free(aligned);
    return result;
}
int64_t cps_pwrite_aligned(int32_t fd, const void *source, size_t count, int64_t offset) {
    void *aligned = NULL;
    if (posix_memalign(&aligned, 4096, count)) return -ENOMEM;
    memcpy(aligned, source, count);
    int64_t result = pwrite(fd, aligned, count, offset);
    if (result < 0) result = -errno;
    free(aligned);
    return result;
}
int64_t cps_seek(int32_t fd, int64_t offset, int32_t whence) { ANSWER(lseek(fd, offset, whence)); }
int64_t cps_truncate(const void *path, int64_t size) { ANSWER(truncate(path, size)); }
int64_t cps_ftruncate(int32_t fd, int64_t size) { ANSWER(ftruncate(fd, size)); }
int64_t cps_fallocate(int32_t fd, int32_t mode, int64_t offset, int64_t length) {
    ANSWER(fallocate(fd, mode, offset, length));
}
int64_t cps_fsync(int32_t fd, int32_t data_only) { ANSWER(data_only ? fdatasync(fd) : fsync(fd)); }
int64_t cps_copy_file_range(
    int32_t from, int64_t from_offset, int32_t to, int64_t to_offset, size_t length) {
    off64_t source = from_offset, target = to_offset;
    ANSWER(copy_file_range(from, &source, to, &target, length, 0));
}
int64_t cps_sendfile(int32_t to, int32_t from, int64_t offset, size_t length) {
    off64_t source = offset;
    ANSWER(sendfile64(to, from, &source, length));
}
int64_t cps_set_status_flags(int32_t fd, int32_t flags) { ANSWER(fcntl(fd, F_SETFL, flags)); }

int64_t cps_mkdir(const void *path, uint32_t mode) { ANSWER(mkdir(path, mode)); }
int64_t cps_rmdir(const void *path) { ANSWER(rmdir(path)); }
int64_t cps_unlink(const void *path) { ANSWER(unlink(path)); }
int64_t cps_rename(const void *from, const void *to, uint32_t flags) {
    ANSWER(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}
int64_t cps_link(int32_t directory, const void *from, const void *to, int32_t flags) {
    ANSWER(linkat(directory, from, AT_FDCWD, to, flags));
}
int64_t cps_symlink(const void *target, const void *path) { ANSWER(symlink(target, path)); }
int64_t cps_readlink(const void *path, void *target, size_t count) {
    ANSWER(readlink(path, target, count));
}
int64_t cps_mknod(const void *path, uint32_t mode, uint32_t major, uint32_t minor) {
    ANSWER(mknod(path, mode, makedev(major, minor)));
}
int64_t cps_getdents(int32_t fd, void *target, size_t count) {
    ANSWER(syscall(SYS_getdents64, fd, target, count));
}

int64_t cps_name_to_handle(
    const void *path, void *handle, uint32_t *handle_bytes, int32_t *handle_type) {
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } storage = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, path, &storage.handle, &mount_id, 0) < 0) return -errno;
    memcpy(handle, storage.handle.f_handle, storage.handle.handle_bytes);
    *handle_bytes = storage.handle.handle_bytes;
    *handle_type = storage.handle.handle_type;
    return 0;
}
int64_t cps_open_by_handle(
    int32_t mount, const void *handle, uint32_t handle_bytes, int32_t handle_type, int32_t flags) {
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } storage = {.handle = {.handle_bytes = handle_bytes, .handle_type = handle_type}};
    if (handle_bytes > MAX_HANDLE_SZ) return -EINVAL;
    memcpy(storage.handle.f_handle, handle, handle_bytes);
    ANSWER(open_by_handle_at(mount, &storage.handle, flags | O_CLOEXEC));
}

static struct cps_time plain(struct statx_timestamp time) {
    return (struct cps_time){time.tv_sec, time.tv_nsec};
}
int64_t cps_stat(int32_t fd, const void *path, int32_t how, struct cps_stat *target) {
    struct statx all;
    int flags = AT_EMPTY_PATH | (how & CPS_STAT_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW)
        | (how & CPS_STAT_FORCED ? AT_STATX_FORCE_SYNC : 0);
    unsigned mask = STATX_BASIC_STATS | (how & CPS_STAT_BIRTH ? STATX_BTIME : 0);
    if (statx(fd, path, flags, mask, &all) < 0) return -errno;
    *target = (struct cps_stat){
        .inode = all.stx_ino,
        .size = all.stx_size,
        .blocks = all.stx_blocks,
        .attributes = all.stx_attributes,
        .device = makedev(all.stx_dev_major, all.stx_dev_minor),
        .mask = all.stx_mask,
        .mode = all.stx_mode,
        .links = all.stx_nlink,
        .uid = all.stx_uid,
        .gid = all.stx_gid,
        .block_size = all.stx_blksize,
        .device_major = all.stx_rdev_major,
        .device_minor = all.stx_rdev_minor,
        .access = plain(all.stx_atime),
        .change = plain(all.stx_ctime),
        .modification = plain(all.stx_mtime),
        .birth = plain(all.stx_btime),
    };
    return 0;
}
int64_t cps_statfs(const void *path, struct cps_statfs *target) {
    struct statfs all;
    if (statfs(path, &all) < 0) return -errno;
    *target = (struct cps_statfs){
        (uint64_t)all.f_type,    (uint64_t)all.f_bsize, all.f_blocks, all.f_bfree,
        all.f_bavail,            all.f_files,           all.f_ffree,  (uint64_t)all.f_namelen,
    };
    return 0;
}
int64_t cps_chmod(const void *path, uint32_t mode) { ANSWER(chmod(path, mode)); }
int64_t cps_fchmod(int32_t fd, uint32_t mode) { ANSWER(fchmod(fd, mode)); }
int64_t cps_chown(const void *path, uint32_t uid, uint32_t gid, int32_t follow) {
    ANSWER(fchownat(AT_FDCWD, path, uid, gid, follow ? 0 : AT_SYMLINK_NOFOLLOW));
}
int64_t cps_fchown(int32_t fd, uint32_t uid, uint32_t gid) { ANSWER(fchown(fd, uid, gid)); }
int64_t cps_access(const void *path, int32_t mode) { ANSWER(faccessat(AT_FDCWD, path, mode, 0)); }
int64_t cps_utimens(
    const void *path, const struct cps_time *access, const struct cps_time *modification,
    int32_t follow) {
    struct timespec times[2] = {
        {access->seconds, access->nanoseconds}, {modification->seconds, modification->nanoseconds}};
    ANSWER(utimensat(AT_FDCWD, path, times, follow ? 0 : AT_SYMLINK_NOFOLLOW));
}
int64_t cps_utimens_null(const void *path) { ANSWER(utimensat(AT_FDCWD, path, NULL, 0)); }
int64_t cps_get_flags(int32_t fd, uint32_t *flags) { ANSWER(ioctl(fd, FS_IOC_GETFLAGS, flags)); }
int64_t cps_set_flags(int32_t fd, uint32_t flags) { ANSWER(ioctl(fd, FS_IOC_SETFLAGS, &flags)); }

int64_t cps_setxattr(
    const void *path, const void *name, const void *value, size_t count, int32_t flags,
    int32_t follow) {
    ANSWER(follow ? setxattr(path, name, value, count, flags)
                  : lsetxattr(path, name, value, count, flags));
}
int64_t cps_getxattr(
    const void *path, const void *name, void *target, size_t count, int32_t follow) {
    ANSWER(follow ? getxattr(path, name, target, count) : lgetxattr(path, name, target, count));
}
int64_t cps_listxattr(const void *path, void *target, size_t count, int32_t follow) {
    ANSWER(follow ? listxattr(path, target, count) : llistxattr(path, target, count));
}
int64_t cps_removexattr(const void *path, const void *name, int32_t follow) {
    ANSWER(follow ? removexattr(path, name) : lremovexattr(path, name));
}
int64_t cps_fsetxattr(
    int32_t fd, const void *name, const void *value, size_t count, int32_t flags) {
    ANSWER(fsetxattr(fd, name, value, count, flags));
}
int64_t cps_fgetxattr(int32_t fd, const void *name, void *target, size_t count) {
    ANSWER(fgetxattr(fd, name, target, count));
}

int64_t cps_lock(
    int32_t fd, int32_t type, int64_t start, int64_t length, int32_t open_file, int32_t wait) {
    struct flock lock = {.l_type = (short)type, .l_start = start, .l_len = length};
    int command = open_file ? (wait ? F_OFD_SETLKW : F_OFD_SETLK) : (wait ? F_SETLKW : F_SETLK);
    ANSWER(fcntl(fd, command, &lock));
}
int64_t cps_lock_test(int32_t fd, int32_t type, int64_t start, int64_t length, int32_t open_file) {
    struct flock lock = {.l_type = (short)type, .l_start = start, .l_len = length};
    if (fcntl(fd, open_file ? F_OFD_GETLK : F_GETLK, &lock) < 0) return -errno;
    return lock.l_type;
}
int64_t cps_lock_in_child(
    const void *path, int32_t type, int64_t start, int64_t length, int32_t open_file) {
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        int fd = open(path, O_RDWR);
        if (fd < 0) _exit(errno);
        struct flock lock = {.l_type = (short)type, .l_start = start, .l_len = length};
        _exit(fcntl(fd, open_file ? F_OFD_SETLK : F_SETLK, &lock) < 0 ? errno : 0);
    }
    return -cps_wait(child, 1);
}
int64_t cps_flock(int32_t fd, int32_t operation) { ANSWER(flock(fd, operation)); }

static int64_t socket_at(const void *path, int binds) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int result = binds ? bind(fd, (struct sockaddr *)&address, sizeof address)
                       : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (result == 0 && binds) result = listen(fd, 1);
    if (result == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}
int64_t cps_socket_bind(const void *path) { return socket_at(path, 1); }
int64_t cps_socket_connect(const void *path) { return socket_at(path, 0); }

int64_t cps_spawn(const void *arguments, int32_t count, int32_t quiet) {
    char *list[64];
    if (count < 1 || count > 63) return -E2BIG;
    char *next = (char *)arguments;
    for (int32_t index = 0; index < count; index++) {
        list[index] = next;
        next += strlen(next) + 1;
    }
    list[count] = NULL;
    int log = quiet ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    volatile int error = 0;  // The child shares this memory until it has replaced itself.
    pid_t child = vfork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (log >= 0) {
            dup2(log, 0);
            dup2(log, 1);
            dup2(log, 2);
        }
        execv(list[0], list);
        error = errno;
        _exit(127);
    }
    int failure = errno;
    if (log >= 0) close(log);
    if (child < 0) return -failure;
    if (error) {
        waitpid(child, NULL, 0);
        return -error;
    }
    return child;
}
int64_t cps_wait(int64_t process, int32_t wait) {
    int status = 0;
    pid_t result;
    do result = waitpid((pid_t)process, &status, wait ? 0 : WNOHANG);
    while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    if (result == 0) return -EAGAIN;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}
int64_t cps_kill(int64_t process, int32_t signal) { ANSWER(kill((pid_t)process, signal)); }

int64_t cps_become(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count) {
    if (syscall(SYS_setgroups, count, groups) < 0) return -errno;
    if (syscall(SYS_setresgid, gid, gid, gid) < 0) return -errno;
    ANSWER(syscall(SYS_setresuid, uid, uid, uid));
}
int64_t cps_unshare_fs(void) { ANSWER(unshare(CLONE_FS)); }
int64_t cps_epoll_takes(int32_t file) {
    int poll = epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0) return -errno;
    struct epoll_event event = {.events = EPOLLIN};
    int64_t result = epoll_ctl(poll, EPOLL_CTL_ADD, file, &event) != 0 ? -errno : 0;
    close(poll);
    return result;
}

int64_t cps_join(uint64_t thread, int64_t seconds) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += seconds;
    return -pthread_timedjoin_np((pthread_t)thread, NULL, &deadline);
}

int64_t cps_mount_tmpfs(const void *target, const void *options) {
    ANSWER(mount("mayfly-posix", target, "tmpfs", 0, options));
}
int64_t cps_unmount(const void *target, int32_t lazily) {
    ANSWER(umount2(target, lazily ? MNT_DETACH : 0));
}
