// Mounts by what they are, not by the path they were made on: a path may have become something else.
//
// Nothing here sends a request to a FUSE server, so a server that hangs holds nobody: an O_PATH
// descriptor and statx(2) with an empty mask and AT_STATX_DONT_SYNC are answered by the kernel alone
// (fs/fuse/dir.c, `fuse_getattr()`).
#ifndef CSYS_MOUNTS_H
#define CSYS_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#define CSYS_NO_LOCKS __attribute__((swift_attr("@_noLocks")))

// What statx(2) tells of the mount that a file lies in.
struct csys_mount {
    // Of the file system's device.
    uint32_t major, minor;
    // The number of the mount in mountinfo; it may be used again after an unmount.
    uint64_t id;
    // Whether the file is the root of the mount.
    bool is_root;
    // Type and permissions; 0 where the file system was not asked, as FUSE is not.
    uint16_t mode;
};

// Looks at a name below a directory, or with an empty name at the descriptor itself. A symbolic link
// is followed only where `follow` is true, which is meant for links of /proc. 0 or a negated errno.
int csys_look(int folder, const char *name, bool follow, struct csys_mount *mount);

// Opens the directory above an absolute path with O_PATH, following no symbolic link, and points
// `name` at the path's last name, which is empty for "/". A descriptor or a negated errno.
int csys_open_parent(const char *path, const char **name);

// Opens a name below a directory with O_PATH and follows no symbolic link: a directory where is_directory
// is true, else anything. A descriptor or a negated errno.
int csys_open_place(int folder, const char *name, bool is_directory);

// Unmounts what is mounted on an absolute path, if it is this mount of this FUSE connection: umount2(2)
// with MNT_ flags. Follows no symbolic link. 0 or a negated errno: ESTALE: something else is
// there; EBUSY also for "/", which the kernel would make read-only instead.
int csys_unmount(const char *path, uint32_t connection, uint64_t mount, int flags);

// The root of a file system of a type, such as tmpfs, that is in nobody's tree and lives as long as somebody
// has it open. It takes CAP_SYS_ADMIN of the namespace. A descriptor, or -1 with errno. Source: fsmount(2).
int csys_detached_mount(const char *type);

// Mounts FUSE in the place of a mount of a connection that is dead, which is detached, so that whoever looks
// at the path finds the one or the other, and never what lies below (Linux 6.5; before that for a moment).
// type, flags and options as mount(2) has them. Where that mount is gone, it is mounted on the path.
// Returns 0 or an errno. Source: fsopen(2), move_mount(2), MOVE_MOUNT_BENEATH.
int csys_replace_mount(const char *source, const char *type, unsigned long flags, const char *options,
                       const char *path, uint32_t connection, uint64_t mount);

// Aborts a connection: through fusectl by its number, mounted or not, else by a forced unmount of its
// mount with the number `mount`, if that is what is mounted on the path.
// Returns 0 or a negated errno.
CSYS_NO_LOCKS int csys_abort_connection(
    uint32_t connection, uint64_t mount, const char *mountpoint);

#endif
