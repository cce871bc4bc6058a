// See include/CFuseDevice.h.
#include "CFuseDevice.h"
#include "CFuseKernel.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cfd_sync_init(int fd) { return ioctl(fd, _IO(229, 3)) ? -errno : 0; }

long cfd_read(int fd, void *buffer, size_t bytes) {
    ssize_t count = read(fd, buffer, bytes);
    return count < 0 ? -errno : count;
}

long cfd_write(int fd, const void *buffer, size_t bytes) {
    ssize_t count = write(fd, buffer, bytes);
    return count < 0 ? -errno : count;
}

int cfd_poll(int device, int wake, int milliseconds) {
    struct pollfd set[2] = {{wake, POLLIN, 0}, {device, POLLIN, 0}};
    int count = poll(set, device < 0 ? 1 : 2, milliseconds);
    if (count < 0) return -errno;
    return (set[1].revents ? 1 : 0) | (set[0].revents ? 2 : 0);
}

int cfd_wake_open(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void cfd_wake(int wake) {
    uint64_t one = 1;
    ssize_t ignored = write(wake, &one, sizeof one);
    (void)ignored; // A full counter is a readable one.
}

void cfd_unwake(int wake) {
    uint64_t count;
    ssize_t ignored = read(wake, &count, sizeof count);
    (void)ignored; // An empty counter is what was wanted.
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

const char *cfd_opcode_name(uint32_t opcode) {
    if (opcode >= sizeof names / sizeof *names || !names[opcode]) return "UNKNOWN";
    return names[opcode];
}

static void print(const char *line, int length) {
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored; // A trace that cannot be printed has no other way out.
}

void cfd_trace_request(
    int device, uint32_t opcode, uint64_t unique, uint64_t nodeid, uint64_t bytes, uint32_t pid) {
    char line[192];
    int length = snprintf(
        line, sizeof line,
        "%s unique: %" PRIu64 ", opcode: %s (%" PRIu32 "), nodeid: %" PRIu64 ", insize: %" PRIu64
        ", pid: %" PRIu32 "\n",
        device ? "dev" : "cqe", unique, cfd_opcode_name(opcode), opcode, nodeid, bytes, pid);
    print(line, length);
}

void cfd_trace_reply(uint64_t unique, int64_t result) {
    char line[64];
    int length =
        snprintf(line, sizeof line, "unique: %" PRIu64 ", result=%" PRId64 "\n", unique, result);
    print(line, length);
}
