// What Swift cannot say for itself: the device's ioctl, vectored writes, and the cold paths that a
// request path function may call (it accepts only callees marked as taking no locks).
#ifndef CFK_SHIMS_H
#define CFK_SHIMS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "cfk_abi.h"

#define CFK_NO_LOCKS_SHIM __attribute__((swift_attr("@_noLocks")))

// Asks for a mount(2) that waits for INIT: FUSE_DEV_IOC_SYNC_INIT (Linux 6.18). 0 or a negated
// errno.
int cfk_ioctl_sync_init(int fd);

// read(2) and write(2) of /dev/fuse. Bytes, or a negated errno.
CFK_NO_LOCKS_SHIM long cfk_device_read(int fd, void *buffer, size_t bytes);
CFK_NO_LOCKS_SHIM long cfk_device_write(int fd, const void *buffer, size_t bytes);

// Waits until the device or the wake descriptor can be read, at most milliseconds (-1: no limit).
// With device -1 only the wake descriptor is waited for. Bit 0 set: the device is readable or in
// error; bit 1: woken. Negative: a negated errno.
CFK_NO_LOCKS_SHIM int cfk_device_poll(int device, int wake, int milliseconds);

// A new wake descriptor, or a negated errno.
int cfk_wake_open(void);

// Makes the wake descriptor (a non-blocking eventfd) readable, or unreadable again.
CFK_NO_LOCKS_SHIM void cfk_wake(int wake);
CFK_NO_LOCKS_SHIM void cfk_unwake(int wake);

// Aborts a connection: through fusectl by its number, mounted or not, else by a forced unmount of its
// mount with the number `mount`, if that is what is mounted on the path.
// Returns 0 or a negated errno.
CFK_NO_LOCKS_SHIM int cfk_abort_connection(
    uint32_t connection, uint64_t mount, const char *mountpoint);

// Prints a request or a reply on standard error, in one write(2). device: it came by /dev/fuse.
CFK_NO_LOCKS_SHIM void cfk_trace_request(
    int device, uint32_t opcode, uint64_t unique, uint64_t nodeid, uint64_t bytes, uint32_t pid);
CFK_NO_LOCKS_SHIM void cfk_trace_reply(uint64_t unique, int64_t result);

// The opcode's name as the kernel spells it, without FUSE_; "UNKNOWN" for others.
const char *cfk_opcode_name(uint32_t opcode);

// Bytes before the first NUL of at most bytes, or -1 where there is none.
CFK_NO_LOCKS_SHIM static inline long cfk_name_length(const void *start, long bytes) {
    const char *end = (const char *)memchr(start, 0, (size_t)bytes);
    return end ? end - (const char *)start : -1;
}

// Pins the calling thread to a CPU: 0, or an errno (a CPU that is offline: EINVAL).
int cfk_pin_to_cpu(unsigned cpu);

// Names the calling thread; at most 15 bytes.
void cfk_name_thread(const char *name);

#endif
