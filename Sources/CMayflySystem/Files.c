#include "csys_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(CSYS_O_TMPFILE == O_TMPFILE, "O_TMPFILE");
_Static_assert(CSYS_O_PATH == O_PATH, "O_PATH");

int csys_is_in_procfs(int file) {
    struct statfs status;
    return fstatfs(file, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

int csys_open_direct(int directory, const char *name) {
    int file = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0644);
    return file < 0 ? -errno : file;
}

int csys_ask_attribute(int file, const char *name) {
    char value;
    return fgetxattr(file, name, &value, sizeof value) < 0 && errno != ERANGE ? errno : 0;
}

int csys_memory_file(const char *name) {
    return (int)syscall(SYS_memfd_create, name, 3u /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
}

int csys_seal(int descriptor) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    // The kernel waits a moment for whoever holds a page, and gives up where reclaim or compaction has it then:
    // mm/memfd.c, memfd_wait_for_pins().
    for (int attempt = 0; attempt < 10; attempt++) {
        if (fcntl(descriptor, F_ADD_SEALS, seals) == 0) return 0;
        if (errno != EBUSY) break;
        usleep(10000);
    }
    return errno;
}

int csys_copy_range(int from, int to, uint64_t offset, uint64_t count) {
    enum { BUFFER = 256 << 10 };
    char *buffer = malloc(BUFFER);
    if (!buffer) return ENOMEM;
    uint64_t end = offset + count;
    int error = 0;
    while (error == 0 && offset < end) {
        off_t data = lseek(from, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data >= 0) offset = (uint64_t)data;
        off_t hole = data < 0 ? -1 : lseek(from, (off_t)offset, SEEK_HOLE);
        uint64_t stop = hole > (off_t)offset && (uint64_t)hole < end ? (uint64_t)hole : end;
        while (error == 0 && offset < stop) {
            size_t piece = stop - offset < BUFFER ? stop - offset : BUFFER;
            error = csys_read_all(from, buffer, piece, offset);
            if (error == 0) error = csys_write_all(to, buffer, piece, offset);
            offset += piece;
        }
    }
    free(buffer);
    return error;
}

int csys_write_all(int descriptor, const void *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t done = pwrite(descriptor, bytes, count, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : EIO;
        bytes = (const char *)bytes + done;
        count -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

int csys_read_all(int descriptor, void *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t done = pread(descriptor, bytes, count, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : EIO;
        bytes = (char *)bytes + done;
        count -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

int csys_reserve(int descriptor, uint64_t offset, uint64_t count) {
    while (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)count) != 0) {
        if (errno == EINTR) continue;
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
    }
    return 0;
}

int csys_punch(int descriptor, uint64_t offset, uint64_t count) {
    int code = fallocate(descriptor, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)offset,
                         (off_t)count);
    return code == 0 ? 0 : errno;
}

// 0 where an open file is on the device 0:minor, else an errno; EXDEV on another device. Stores its status.
static int look_on_device(int descriptor, uint32_t minor_number, struct stat *status) {
    if (fstat(descriptor, status) != 0) return errno;
    return major(status->st_dev) == 0 && minor(status->st_dev) == minor_number ? 0 : EXDEV;
}

int csys_open_on_device(int directory, const char *path, uint32_t minor_number, uint64_t *inode) {
    int descriptor = openat(directory, path, O_PATH | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct stat status;
    int error = look_on_device(descriptor, minor_number, &status);
    if (error != 0) {
        close(descriptor);
        return -error;
    }
    *inode = status.st_ino;
    return descriptor;
}

int csys_sync_mount(const char *directory, uint32_t minor_number) {
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    struct stat status;
    int error = look_on_device(descriptor, minor_number, &status);
    if (error == 0 && syncfs(descriptor) != 0) error = errno;
    close(descriptor);
    return error;
}

// The flags of what has a name, of which it is opened; -1 where it has none to be had.
static int open_flags(int folder, const char *name, int *flags) {
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0 && ioctl(file, FS_IOC_GETFLAGS, flags) != 0) {
        close(file);
        return -1;
    }
    return file;
}

int csys_copy_file_flags(int from, const char *name, int to, const char *target, int all) {
    const int harmless = FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_DIRSYNC_FL;
    int mask = all ? harmless | FS_IMMUTABLE_FL | FS_APPEND_FL : harmless;
    int wanted = 0, present = 0, error = 0;
    int source = open_flags(from, name, &wanted);
    if (source < 0) return 0;
    close(source);
    int copy = open_flags(to, target, &present);
    if (copy < 0) return all && (wanted & mask) ? EOPNOTSUPP : 0;
    if (((wanted ^ present) & mask) != 0) {
        int flags = (present & ~mask) | (wanted & mask);
        if (ioctl(copy, FS_IOC_SETFLAGS, &flags) != 0 && all) error = errno;
    }
    close(copy);
    return error;
}

ssize_t csys_list_attributes(const char *path, char *names, size_t count) {
    return listxattr(path, names, count);
}

ssize_t csys_get_attribute(const char *path, const char *name, void *value, size_t count) {
    return getxattr(path, name, value, count);
}

int csys_set_attribute(const char *path, const char *name, const void *value, size_t count) {
    return setxattr(path, name, value, count, 0);
}

int csys_remove_attribute(const char *path, const char *name) { return removexattr(path, name); }

int csys_sync_file_system(int file) { return syncfs(file) == 0 ? 0 : errno; }
