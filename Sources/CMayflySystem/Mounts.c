// See include/csys_mounts.h.
#include "csys_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int csys_look(int folder, const char *name, bool follow, struct csys_mount *mount) {
    struct statx status;
    int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (!follow) flags |= AT_SYMLINK_NOFOLLOW;
    if (statx(folder, name, flags, 0, &status) != 0) return -errno;
    *mount = (struct csys_mount){
        .major = status.stx_dev_major,
        .minor = status.stx_dev_minor,
        .id = status.stx_mnt_id,
        .is_root = status.stx_attributes & STATX_ATTR_MOUNT_ROOT,
        .mode = status.stx_mode,
    };
    return 0;
}

int csys_open_parent(const char *path, const char **name) {
    if (*path != '/') return -ENOENT;
    int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    // One name at a time: openat2(2) is refused by the seccomp filters of some containers.
    while (folder >= 0) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (path[length] == 0) {
            *name = path;
            return folder;
        }
        char part[256];
        int next = -1;
        if (length < sizeof part) {
            memcpy(part, path, length);
            part[length] = 0;
            next = openat(folder, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        } else {
            errno = ENAMETOOLONG;
        }
        int error = errno;
        close(folder);
        errno = error;
        folder = next;
        path += length;
    }
    return -errno;
}

int csys_open_place(int folder, const char *name, bool is_directory) {
    int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (is_directory ? O_DIRECTORY : 0);
    int place = openat(folder, name, flags);
    return place < 0 ? -errno : place;
}

static int check(int folder, const char *name, uint32_t connection, uint64_t mount) {
    struct csys_mount seen;
    int code = csys_look(folder, name, false, &seen);
    if (code != 0) return code;
    bool is_same = seen.major == 0 && seen.minor == connection && seen.id == mount && seen.is_root;
    return is_same ? 0 : -ESTALE;
}

// Through a descriptor of the mount itself, so that nothing can come between the check and the call.
static int detach(int folder, const char *name, uint32_t connection, uint64_t mount, int flags) {
    int root = csys_open_place(folder, name, false);
    if (root < 0) return root;
    int code = check(root, "", connection, mount);
    if (code == 0) {
        char link[32];
        snprintf(link, sizeof link, "/proc/self/fd/%d", root);
        code = umount2(link, flags & ~UMOUNT_NOFOLLOW) != 0 ? -errno : 0;
    }
    close(root);
    return code;
}

int csys_unmount(const char *path, uint32_t connection, uint64_t mount, int flags) {
    const char *name;
    int folder = csys_open_parent(path, &name);
    if (folder < 0) return folder;
    int code;
    if (*name == 0) {
        code = -EBUSY;
    } else if (flags & MNT_DETACH) {
        code = detach(folder, name, connection, mount, flags);
    } else {
        // A descriptor of the mount would keep it busy, so the last name is looked up twice. The kernel
        // lets nobody rename a mountpoint of this namespace in between (fs/namei.c,
        // `vfs_rename()`, `is_local_mountpoint()`).
        char link[300];
        snprintf(link, sizeof link, "/proc/self/fd/%d/%s", folder, name);
        code = check(folder, name, connection, mount);
        if (code == 0 && umount2(link, flags | UMOUNT_NOFOLLOW) != 0) code = -errno;
    }
    close(folder);
    return code;
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

int csys_detached_mount(const char *type) {
    int context = (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
    if (context < 0) return -1;
    int folder = -1;
    if (syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0)
        folder = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, 0);
    close(context);
    return folder;
}

int csys_abort_connection(uint32_t connection, uint64_t mount, const char *mountpoint) {
    int folder = open("/sys/fs/fuse/connections", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool aborted = folder >= 0 && abort_below(folder, connection);
    if (folder >= 0) close(folder);
    if (aborted) return 0;
    // That of a fusectl takes CAP_SYS_ADMIN of the machine.
    folder = csys_detached_mount("fusectl");
    aborted = folder >= 0 && abort_below(folder, connection);
    if (folder >= 0) close(folder);
    if (aborted) return 0;
    // Without the right to it a forced unmount aborts as well, where the mount is in our tree.
    return csys_unmount(mountpoint, connection, mount, MNT_FORCE | MNT_DETACH);
}
