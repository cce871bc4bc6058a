// See include/cps_differential.h.
#include "CMayflyTestSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int64_t cpd_become(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count) {
    const uid_t same = (uid_t)-1;
    if (syscall(SYS_setresuid, same, 0, same) < 0) return -errno;
    if (syscall(SYS_setgroups, count, groups) < 0) return -errno;
    if (syscall(SYS_setresgid, same, gid, same) < 0) return -errno;
    if (uid != 0 && syscall(SYS_setresuid, same, uid, same) < 0) return -errno;
    return 0;
}

int64_t cpd_change_capability(int32_t capability) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, sets) < 0) return -errno;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        if (capability < 0) sets[i].effective = sets[i].permitted;
        if (capability >= 0 && capability / 32 == i) sets[i].effective ^= 1u << capability % 32;
        // Some machines lack one; nothing changes there.
        sets[i].effective &= sets[i].permitted;
    }
    return syscall(SYS_capset, &head, sets) < 0 ? -errno : 0;
}

int64_t cpd_remount_nodev(const void *path) {
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_RELATIME;
    return mount(NULL, path, NULL, flags, NULL) < 0 ? -errno : 0;
}

static int64_t flags_at(const void *path, unsigned long request, uint32_t *flags) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return -errno;
    int64_t result = ioctl(fd, request, flags) < 0 ? -errno : 0;
    close(fd);
    return result;
}
int64_t cpd_path_get_flags(const void *path, uint32_t *flags) {
    return flags_at(path, FS_IOC_GETFLAGS, flags);
}
int64_t cpd_path_set_flags(const void *path, uint32_t flags) {
    return flags_at(path, FS_IOC_SETFLAGS, &flags);
}

int64_t cpd_map_write(int32_t fd, const void *source, size_t count, int64_t offset) {
    int64_t start = offset & ~4095LL;
    int64_t within = offset - start;
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    if (!S_ISREG(status.st_mode)) return -ENODEV;
    int64_t place = lseek(fd, 0, SEEK_CUR);
    if (place < 0) return -errno;
    int64_t data = lseek(fd, start, SEEK_DATA);
    int error = errno;
    lseek(fd, place, SEEK_SET);
    if (data < 0) return -error;
    if (data != start) return -ENODATA;
    if (within + (int64_t)count > 4096) count = (size_t)(4096 - within);
    if (start + within + (int64_t)count > status.st_size) return -ENXIO;
    posix_fadvise(fd, start, 4096, POSIX_FADV_DONTNEED);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
    if (page == MAP_FAILED) return -errno;
    // Through a pipe, so that a page that another thread cuts off is EFAULT and no SIGBUS.
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        int64_t failure = -errno;
        munmap(page, 4096);
        return failure;
    }
    int64_t result = write(ends[1], source, count);
    if (result > 0) result = read(ends[0], page + within, (size_t)result);
    if (result < 0) result = -errno;
    close(ends[0]);
    close(ends[1]);
    if (msync(page, 4096, MS_SYNC) < 0 && result >= 0) result = -errno;
    munmap(page, 4096);
    return result;
}

int64_t cpd_evict(int32_t fd) { return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

const char *cpd_error_name(int32_t error) { return strerrorname_np(error); }
