// /dev/fuse: reading, writing, waiting, and a trace of what passes. The request path may call what is
// marked as taking no locks.
#ifndef CFUSEDEVICE_H
#define CFUSEDEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CFD_NO_LOCKS __attribute__((swift_attr("@_noLocks")))

// Asks for a mount(2) that waits for INIT: FUSE_DEV_IOC_SYNC_INIT (Linux 6.18). 0 or a negated
// errno.
int cfd_sync_init(int fd);

// read(2) and write(2) of /dev/fuse. Bytes, or a negated errno.
CFD_NO_LOCKS long cfd_read(int fd, void *buffer, size_t bytes);
CFD_NO_LOCKS long cfd_write(int fd, const void *buffer, size_t bytes);

// Waits until the device or the wake descriptor can be read, at most milliseconds (-1: no limit).
// With device -1 only the wake descriptor is waited for. Bit 0 set: the device is readable or in
// error; bit 1: woken. Negative: a negated errno.
CFD_NO_LOCKS int cfd_poll(int device, int wake, int milliseconds);

// A new wake descriptor, or a negated errno.
int cfd_wake_open(void);

// Makes the wake descriptor (a non-blocking eventfd) readable, or unreadable again.
CFD_NO_LOCKS void cfd_wake(int wake);
CFD_NO_LOCKS void cfd_unwake(int wake);

// Prints a request or a reply on standard error, in one write(2). device: it came by /dev/fuse.
CFD_NO_LOCKS void cfd_trace_request(
    int device, uint32_t opcode, uint64_t unique, uint64_t nodeid, uint64_t bytes, uint32_t pid);
CFD_NO_LOCKS void cfd_trace_reply(uint64_t unique, int64_t result);

// The opcode's name as the kernel spells it, without FUSE_; "UNKNOWN" for others.
const char *cfd_opcode_name(uint32_t opcode);

// Bytes before the first NUL of at most bytes, or -1 where there is none.
CFD_NO_LOCKS static inline long cfd_name_length(const void *start, long bytes) {
    const char *end = (const char *)memchr(start, 0, (size_t)bytes);
    return end ? end - (const char *)start : -1;
}

#endif
