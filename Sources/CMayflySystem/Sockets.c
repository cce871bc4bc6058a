#include "csys_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int csys_send(int socket, const void *bytes, size_t count, int descriptor) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    while (count > 0) {
        struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        if (descriptor >= 0) {
            message.msg_control = control.room;
            message.msg_controllen = sizeof control.room;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
        }
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno;
        descriptor = -1;
        bytes = (const char *)bytes + sent;
        count -= (size_t)sent;
    }
    return 0;
}

int csys_receive(int socket, void *bytes, size_t count, int milliseconds, int *descriptor) {
    *descriptor = -1;
    int error = 0;
    while (count > 0 && error == 0) {
        struct pollfd ready = {.fd = socket, .events = POLLIN};
        int events = poll(&ready, 1, milliseconds);
        if (events < 0 && errno == EINTR) continue;
        if (events <= 0) {
            error = events == 0 ? ETIMEDOUT : errno;
            break;
        }
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec piece = {.iov_base = bytes, .iov_len = count};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room,
                                 .msg_controllen = sizeof control.room};
        // What does not fit the control buffer is closed by the kernel.
        ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
        if (received < 0 && errno == EINTR) continue;
        if (received <= 0) {
            error = received == 0 || errno == ECONNRESET ? EPIPE : errno;
            break;
        }
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
            && header->cmsg_len == CMSG_LEN(sizeof(int))) {
            if (*descriptor >= 0) close(*descriptor);
            memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
        }
        bytes = (char *)bytes + received;
        count -= (size_t)received;
    }
    if (error != 0 && *descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
    return error;
}

int csys_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC); }

int csys_shared_memory(const char *name, size_t bytes) {
    int memory = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0) return -1;
    if (ftruncate(memory, (off_t)bytes) != 0
        || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        int error = errno;
        close(memory);
        errno = error;
        return -1;
    }
    return memory;
}

int csys_is_shared_memory(int descriptor, size_t bytes) {
    struct stat status;
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(descriptor, &status) == 0
           && S_ISREG(status.st_mode) && status.st_size == (off_t)bytes;
}

struct csys_peer csys_peer(int socket) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return (struct csys_peer){0, (uint32_t)-1};
    return (struct csys_peer){peer.pid, peer.uid};
}
