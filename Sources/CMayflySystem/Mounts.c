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

// Gives options as mount(2) has them to a context of fsopen(2).
static int configure(int context, const char *options) {
    char text[512];
    if (strlen(options) >= sizeof text) return ENAMETOOLONG;
    strcpy(text, options);
    char *rest = text;
    for (char *option; (option = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(option, '=');
        if (value) *value++ = 0;
        int command = value ? 1 /* FSCONFIG_SET_STRING */ : 0 /* FSCONFIG_SET_FLAG */;
        if (syscall(SYS_fsconfig, context, command, option, value, 0) != 0) return errno;
    }
    return 0;
}

static unsigned mount_attributes(unsigned long flags) {
    static const struct {
        unsigned long flag;
        unsigned attribute;
    } known[] = {
        {MS_RDONLY, 1},           {MS_NOSUID, 2},      {MS_NODEV, 4},
        {MS_NOEXEC, 8},           {MS_NOATIME, 0x10},  {MS_STRICTATIME, 0x20},
        {MS_NODIRATIME, 0x80},    {256 /* MS_NOSYMFOLLOW */, 0x200000},
    };
    unsigned attributes = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (flags & known[i].flag) attributes |= known[i].attribute;
    return attributes;
}

int csys_replace_mount(const char *source, const char *type, unsigned long flags, const char *options,
                       const char *path, uint32_t connection, uint64_t mount) {
    enum { FROM_EMPTY = 4, BENEATH = 0x200 };
    int context = (int)syscall(SYS_fsopen, "fuse", 1 /* FSOPEN_CLOEXEC */);
    if (context < 0) return errno;
    int made = -1;
    int error = 0;
    if (syscall(SYS_fsconfig, context, 1, "source", source, 0) != 0) error = errno;
    if (error == 0 && strncmp(type, "fuse.", 5) == 0 &&
        syscall(SYS_fsconfig, context, 1, "subtype", type + 5, 0) != 0)
        error = errno;
    if (error == 0 && flags & MS_RDONLY && syscall(SYS_fsconfig, context, 0, "ro", NULL, 0) != 0)
        error = errno;
    if (error == 0) error = configure(context, options);
    if (error == 0 && syscall(SYS_fsconfig, context, 6, NULL, NULL, 0) != 0) error = errno;
    if (error == 0) {
        made = (int)syscall(SYS_fsmount, context, 1, mount_attributes(flags));
        if (made < 0) error = errno;
    }
    close(context);
    if (error != 0) return error;
    // Only below that mount, not below another that has come to be there.
    const char *name;
    int folder = csys_open_parent(path, &name);
    int is_there = folder >= 0 && *name != 0 && check(folder, name, connection, mount) == 0;
    int is_beneath =
        is_there && syscall(SYS_move_mount, made, "", folder, name, FROM_EMPTY | BENEATH) == 0;
    if (is_there) csys_unmount(path, connection, mount, MNT_DETACH);
    if (!is_beneath && syscall(SYS_move_mount, made, "", AT_FDCWD, path, FROM_EMPTY) != 0)
        error = errno;
    if (folder >= 0) close(folder);
    close(made);
    return error;
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
