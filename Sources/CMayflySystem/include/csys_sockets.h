// Unix sockets that carry descriptors, and memory that two processes share: what the Glibc module leaves
// out.
#ifndef CSYS_SOCKETS_H
#define CSYS_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

// Sends all bytes, and with them a descriptor unless it is -1. Raises no SIGPIPE. Returns 0 or an errno.
// Source: unix(7), SCM_RIGHTS.
int csys_send(int socket, const void *bytes, size_t count, int descriptor);

// Receives all bytes, and a descriptor where one comes with them, else -1; the caller closes it. Waits at
// most so many milliseconds for each piece. Returns 0 or an errno: ETIMEDOUT, EPIPE at the end.
int csys_receive(int socket, void *bytes, size_t count, int milliseconds, int *descriptor);

// Waits for the next who connects: accept4(2) with SOCK_CLOEXEC. Returns a descriptor, or -1 with errno.
int csys_accept(int socket);

// Makes memory for two processes, whose size neither can change. Returns a descriptor, or -1 with errno.
int csys_shared_memory(const char *name, size_t bytes);

// Whether a descriptor is memory of that size which cannot become smaller.
int csys_is_shared_memory(int descriptor, size_t bytes);

// A process at the other end of a socket.
struct csys_peer {
    int process;  // as this pid namespace has its number; 0 where it cannot be seen here
    uint32_t user; // as this user namespace has it; (uint32_t)-1 where it cannot be told
};

// Who is at a connected socket's other end. Source: unix(7), SO_PEERCRED.
struct csys_peer csys_peer(int socket);

#endif
