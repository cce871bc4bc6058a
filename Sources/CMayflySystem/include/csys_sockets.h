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

// The user of a connected socket's other end, as this user namespace has its number; (uint32_t)-1 where
// it cannot be told.
uint32_t csys_peer_user(int socket);

#endif
