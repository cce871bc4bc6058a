// See include/cfk_shims.h.
#include "cfk_shims.h"
#include "cfk_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

int cfk_ioctl_sync_init(int fd) { return ioctl(fd, _IO(229, 3)) ? -errno : 0; }

long cfk_device_read(int fd, void *buffer, size_t bytes) {
    ssize_t count = read(fd, buffer, bytes);
    return count < 0 ? -errno : count;
}

long cfk_device_write(int fd, const void *buffer, size_t bytes) {
    ssize_t count = write(fd, buffer, bytes);
    return count < 0 ? -errno : count;
}

int cfk_device_poll(int device, int wake, int milliseconds) {
    struct pollfd set[2] = {{wake, POLLIN, 0}, {device, POLLIN, 0}};
    int count = poll(set, device < 0 ? 1 : 2, milliseconds);
    if (count < 0) return -errno;
    return (set[1].revents ? 1 : 0) | (set[0].revents ? 2 : 0);
}

int cfk_wake_open(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void cfk_wake(int wake) {
    uint64_t one = 1;
    ssize_t ignored = write(wake, &one, sizeof one);
    (void)ignored; // A full counter is a readable one.
}

void cfk_unwake(int wake) {
    uint64_t count;
    ssize_t ignored = read(wake, &count, sizeof count);
    (void)ignored; // An empty counter is what was wanted.
}

// Writes 1 to connection's file in the fusectl whose root is `folder`; false where it cannot.
static bool abort_below(int folder, uint32_t connection) {
    char path[32];
    snprintf(path, sizeof path, "%" PRIu32 "/abort", connection);
    int fd = openat(folder, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t count = write(fd, "1", 1);
    close(fd);
    return count == 1;
}

// The root of a fusectl that is in nobody's tree, which takes CAP_SYS_ADMIN of the machine.
static int detached_fusectl(void) {
    int context = (int)syscall(SYS_fsopen, "fusectl", 1 /* FSOPEN_CLOEXEC */);
    if (context < 0) return -1;
    int folder = -1;
    if (syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0)
        folder = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, 0);
    close(context);
    return folder;
}

int cfk_abort_connection(uint32_t connection, uint64_t mount, const char *mountpoint) {
    int folder = open("/sys/fs/fuse/connections", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool aborted = folder >= 0 && abort_below(folder, connection);
    if (folder >= 0) close(folder);
    if (aborted) return 0;
    folder = detached_fusectl();
    aborted = folder >= 0 && abort_below(folder, connection);
    if (folder >= 0) close(folder);
    if (aborted) return 0;
    // Without the right to it a forced unmount aborts as well, where the mount is in our tree.
    return cfk_unmount(mountpoint, connection, mount, MNT_FORCE | MNT_DETACH);
}

static const char *const names[] = {
    [CFK_LOOKUP] = "LOOKUP", [CFK_FORGET] = "FORGET", [CFK_GETATTR] = "GETATTR",
    [CFK_SETATTR] = "SETATTR", [CFK_READLINK] = "READLINK", [CFK_SYMLINK] = "SYMLINK",
    [CFK_MKNOD] = "MKNOD", [CFK_MKDIR] = "MKDIR", [CFK_UNLINK] = "UNLINK", [CFK_RMDIR] = "RMDIR",
    [CFK_RENAME] = "RENAME", [CFK_LINK] = "LINK", [CFK_OPEN] = "OPEN", [CFK_READ] = "READ",
    [CFK_WRITE] = "WRITE", [CFK_STATFS] = "STATFS", [CFK_RELEASE] = "RELEASE",
    [CFK_FSYNC] = "FSYNC", [CFK_SETXATTR] = "SETXATTR", [CFK_GETXATTR] = "GETXATTR",
    [CFK_LISTXATTR] = "LISTXATTR", [CFK_REMOVEXATTR] = "REMOVEXATTR", [CFK_FLUSH] = "FLUSH",
    [CFK_INIT] = "INIT", [CFK_OPENDIR] = "OPENDIR", [CFK_READDIR] = "READDIR",
    [CFK_RELEASEDIR] = "RELEASEDIR", [CFK_FSYNCDIR] = "FSYNCDIR", [CFK_GETLK] = "GETLK",
    [CFK_SETLK] = "SETLK", [CFK_SETLKW] = "SETLKW", [CFK_ACCESS] = "ACCESS",
    [CFK_CREATE] = "CREATE", [CFK_INTERRUPT] = "INTERRUPT", [CFK_BMAP] = "BMAP",
    [CFK_DESTROY] = "DESTROY", [CFK_IOCTL] = "IOCTL", [CFK_POLL] = "POLL",
    [CFK_NOTIFY_REPLY] = "NOTIFY_REPLY", [CFK_BATCH_FORGET] = "BATCH_FORGET",
    [CFK_FALLOCATE] = "FALLOCATE", [CFK_READDIRPLUS] = "READDIRPLUS", [CFK_RENAME2] = "RENAME2",
    [CFK_LSEEK] = "LSEEK", [CFK_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
    [CFK_SETUPMAPPING] = "SETUPMAPPING", [CFK_REMOVEMAPPING] = "REMOVEMAPPING",
    [CFK_SYNCFS] = "SYNCFS", [CFK_TMPFILE] = "TMPFILE", [CFK_STATX] = "STATX",
    [CFK_COPY_FILE_RANGE_64] = "COPY_FILE_RANGE_64",
};

const char *cfk_opcode_name(uint32_t opcode) {
    if (opcode >= sizeof names / sizeof *names || !names[opcode]) return "UNKNOWN";
    return names[opcode];
}

static void print(const char *line, int length) {
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored; // A trace that cannot be printed has no other way out.
}

void cfk_trace_request(
    int device, uint32_t opcode, uint64_t unique, uint64_t nodeid, uint64_t bytes, uint32_t pid) {
    char line[192];
    int length = snprintf(
        line, sizeof line,
        "%s unique: %" PRIu64 ", opcode: %s (%" PRIu32 "), nodeid: %" PRIu64 ", insize: %" PRIu64
        ", pid: %" PRIu32 "\n",
        device ? "dev" : "cqe", unique, cfk_opcode_name(opcode), opcode, nodeid, bytes, pid);
    print(line, length);
}

void cfk_trace_reply(uint64_t unique, int64_t result) {
    char line[64];
    int length =
        snprintf(line, sizeof line, "unique: %" PRIu64 ", result=%" PRId64 "\n", unique, result);
    print(line, length);
}

int cfk_pin_to_cpu(unsigned cpu) {
    // As long as the number takes: cpu_set_t ends with CPU 1,023.
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (!set) return ENOMEM;
    size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    int code = pthread_setaffinity_np(pthread_self(), bytes, set);
    CPU_FREE(set);
    return code;
}

void cfk_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
