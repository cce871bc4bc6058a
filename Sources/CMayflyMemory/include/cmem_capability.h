// Whether another process has a capability, for what FUSE does not tell.
#ifndef CMEM_CAPABILITY_H
#define CMEM_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

// Whether the effective set of a process or thread has a capability, by /proc/PID/status. False
// when it cannot be told (PID 0 stands for one in another pid namespace). System calls: not for the
// common path.
// Source: proc(5), CapEff.
__attribute__((swift_attr("@_noLocks"))) bool cmem_has_capability(uint32_t pid,
                                                                  uint32_t capability);

// Whether a process or thread neither belongs to a group nor has a capability. False when it cannot
// be told. System calls: not for the common path.
// Source: proc(5), Gid and Groups; fs/attr.c, setattr_should_drop_sgid().
__attribute__((swift_attr("@_noLocks"))) bool cmem_lacks_group(uint32_t pid, uint32_t group,
                                                               uint32_t capability);

#endif
