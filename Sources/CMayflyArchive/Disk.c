#include "carc_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

// OPEN_LEVELS: directories on the way that are kept open; the others are reached through "..".
enum { BLOCK = 1 << 20, OPEN_LEVELS = 32, TRIES = 100, LIST = 64 << 10 };

// A directory on the way to the entry.
struct level {
    int fd;  // -1 while it is closed
    dev_t device;
    ino_t inode;
    char **names;
    size_t count, next;
    size_t path_length;
};

// A file of several names that was read already.
struct link {
    uint64_t device, inode;
    char path[];
};

struct carc_disk {
    struct level *levels;
    size_t depth, room;
    int root;  // until the first entry, the root directory
    int one_device;
    dev_t device;
    // The entry.
    int fd;
    struct stat status;
    char *path, *target;
    size_t path_room;
    uint64_t at, end, bytes;
    char *buffer;
    char *names, *value;  // of extended attributes
    size_t name_bytes, name_at;
    void *links;  // of tsearch(3)
    char error[1024];
    int is_passed_over;  // the directory that was read last
    int tells_unreadable; // whether what may not be opened is an entry all the same
    int is_unreadable;    // the entry, whose status is known alone
};

static int fail(struct carc_disk *disk, const char *why) {
    carc_error_text(disk->error, sizeof disk->error, disk->path[0] ? disk->path : ".", why);
    return -1;
}

const char *carc_disk_error(struct carc_disk *disk) { return disk->error; }
uint64_t carc_disk_bytes(struct carc_disk *disk) { return disk->bytes; }

static void free_level(struct level *level) {
    if (level->fd >= 0) close(level->fd);
    for (size_t i = 0; i < level->count; i++) free(level->names[i]);
    free(level->names);
}

void carc_disk_close(struct carc_disk *disk) {
    while (disk->depth > 0) free_level(&disk->levels[--disk->depth]);
    if (disk->root >= 0) close(disk->root);
    if (disk->fd >= 0) close(disk->fd);
    tdestroy(disk->links, free);
    free(disk->levels);
    free(disk->path);
    free(disk->target);
    free(disk->buffer);
    free(disk->names);
    free(disk->value);
    free(disk);
}

// Makes a reader of nothing. NULL with errno.
static struct carc_disk *new_disk(void) {
    struct carc_disk *disk = calloc(1, sizeof *disk);
    if (!disk) return NULL;
    disk->fd = disk->root = -1;
    disk->path_room = 4096;
    disk->path = calloc(1, disk->path_room);
    disk->buffer = malloc(BLOCK);
    disk->names = malloc(LIST);
    disk->value = malloc(LIST);
    if (disk->path && disk->buffer && disk->names && disk->value) return disk;
    carc_disk_close(disk);
    errno = ENOMEM;
    return NULL;
}

static struct carc_disk *failed(struct carc_disk *disk) {
    int error = errno;
    carc_disk_close(disk);
    errno = error;
    return NULL;
}

struct carc_disk *carc_disk_open(const char *path, int one_device) {
    struct carc_disk *disk = new_disk();
    if (!disk) return NULL;
    disk->one_device = one_device;
    // A link to a directory is followed here, and none below it.
    disk->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    if (disk->root < 0 || fstat(disk->root, &status) != 0) return failed(disk);
    disk->device = status.st_dev;
    return disk;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Reads the names of an open directory, sorted by their bytes.
static int read_names(struct carc_disk *disk, struct level *level) {
    int fd = openat(level->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
    if (fd < 0 && errno == EPERM) fd = openat(level->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0) close(fd);
        return fail(disk, strerror(errno));
    }
    size_t room = 0;
    struct dirent *found;
    while (errno = 0, (found = readdir(folder))) {
        if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, "..")) continue;
        if (level->count == room) {
            room = room ? room * 2 : 16;
            char **names = realloc(level->names, room * sizeof *names);
            if (!names) break;
            level->names = names;
        }
        char *name = strdup(found->d_name);
        if (!name) break;
        level->names[level->count++] = name;
    }
    int error = errno;
    closedir(folder);
    if (error != 0) return fail(disk, strerror(error));
    if (level->count > 1) qsort(level->names, level->count, sizeof *level->names, by_name);
    return 0;
}

// Goes down into the entry, which is a directory.
static int enter(struct carc_disk *disk) {
    if (disk->depth == disk->room) {
        size_t room = disk->room ? disk->room * 2 : 64;
        struct level *levels = realloc(disk->levels, room * sizeof *levels);
        if (!levels) return fail(disk, strerror(ENOMEM));
        disk->levels = levels;
        disk->room = room;
    }
    struct level level = {.fd = disk->fd,
                          .device = disk->status.st_dev,
                          .inode = disk->status.st_ino,
                          .path_length = strlen(disk->path)};
    disk->fd = -1;
    if (read_names(disk, &level) != 0) {
        free_level(&level);
        return -1;
    }
    disk->levels[disk->depth++] = level;
    if (disk->depth > OPEN_LEVELS) {
        struct level *far = &disk->levels[disk->depth - 1 - OPEN_LEVELS];
        if (far->fd >= 0) close(far->fd);
        far->fd = -1;
    }
    return 0;
}

// Goes up to the directory that the last one lies in, if it lies there still.
static int leave(struct carc_disk *disk) {
    struct level done = disk->levels[--disk->depth];
    int code = 0;
    if (disk->depth > 0 && disk->levels[disk->depth - 1].fd < 0) {
        struct level *above = &disk->levels[disk->depth - 1];
        struct stat status;
        above->fd = openat(done.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (above->fd < 0 || fstat(above->fd, &status) != 0) {
            code = fail(disk, strerror(errno));
        } else if (status.st_dev != above->device || status.st_ino != above->inode) {
            code = fail(disk, "a folder above it was moved meanwhile: read it when nobody does that");
        }
    }
    free_level(&done);
    return code;
}

// Sets the path of the entry to a name in the directory on top.
static int set_path(struct carc_disk *disk, const char *name) {
    size_t before = disk->levels[disk->depth - 1].path_length;
    size_t need = before + strlen(name) + 2;
    if (need > disk->path_room) {
        char *path = realloc(disk->path, need * 2);
        if (!path) return fail(disk, strerror(ENOMEM));
        disk->path = path;
        disk->path_room = need * 2;
    }
    if (before > 0) disk->path[before++] = '/';
    strcpy(disk->path + before, name);
    return 0;
}

static int is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino
           && (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT);
}

// Opens a name as what it is, following no link: files and directories to be read, others to be looked
// at. What is opened is what is described, however names are swapped meanwhile. Returns 1, or -1.
static int open_entry(struct carc_disk *disk, int folder, const char *name) {
    for (int tries = 0; tries < TRIES; tries++) {
        struct stat seen;
        if (fstatat(folder, name, &seen, AT_SYMLINK_NOFOLLOW) != 0) {
            return fail(disk, strerror(errno));
        }
        int is_read = S_ISREG(seen.st_mode) || S_ISDIR(seen.st_mode);
        // Should it be a fifo or a terminal by now, neither is to wait or to become ours.
        int flags = O_CLOEXEC | O_NOFOLLOW
                    | (is_read ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH);
        disk->fd = openat(folder, name, is_read ? flags | O_NOATIME : flags);
        if (disk->fd < 0 && errno == EPERM && is_read) disk->fd = openat(folder, name, flags);
        if (disk->fd < 0) {
            if (errno == ELOOP || errno == ENXIO || errno == ENOENT) continue;
            if (errno == EACCES && disk->tells_unreadable) {
                disk->is_unreadable = 1;
                disk->status = seen;
            }
            return fail(disk, strerror(errno));
        }
        if (fstat(disk->fd, &disk->status) != 0) return fail(disk, strerror(errno));
        if (is_same(&seen, &disk->status)) return 1;
        close(disk->fd);
        disk->fd = -1;
    }
    return fail(disk, "it is changed all the time: read it when nobody does that");
}

struct carc_disk *carc_disk_open_file(const char *path, const char *name) {
    struct carc_disk *disk = new_disk();
    if (!disk) return NULL;
    size_t count = strlen(name);
    if (count >= disk->path_room) {
        errno = ENAMETOOLONG;
        return failed(disk);
    }
    if (open_entry(disk, AT_FDCWD, path) < 0) return failed(disk);
    if (S_ISDIR(disk->status.st_mode)) {
        errno = EISDIR;
        return failed(disk);
    }
    memcpy(disk->path, name, count + 1);
    disk->root = disk->fd;
    disk->fd = -1;
    return disk;
}

static int by_inode(const void *a, const void *b) {
    const struct link *x = a, *y = b;
    if (x->inode != y->inode) return x->inode < y->inode ? -1 : 1;
    return x->device < y->device ? -1 : x->device > y->device;
}

// The earlier name of a file, which is remembered as its first when there is none. NULL also where
// there is no memory, and the file is two then.
static const char *earlier(struct carc_disk *disk) {
    struct link *link = malloc(sizeof *link + strlen(disk->path) + 1);
    if (!link) return NULL;
    link->device = disk->status.st_dev;
    link->inode = disk->status.st_ino;
    strcpy(link->path, disk->path);
    struct link **found = tsearch(link, &disk->links, by_inode);
    if (found && *found == link) return NULL;
    free(link);
    return found ? (*found)->path : NULL;
}

// Reads what a symbolic link leads to.
static int read_target(struct carc_disk *disk) {
    free(disk->target);
    disk->target = malloc(PATH_MAX + 1);
    if (!disk->target) return fail(disk, strerror(ENOMEM));
    ssize_t count = readlinkat(disk->fd, "", disk->target, PATH_MAX);
    if (count < 0) return fail(disk, strerror(errno));
    disk->target[count] = 0;
    return 0;
}

// The names of the entry's extended attributes; none where there are none to be had.
static void list_names(struct carc_disk *disk) {
    ssize_t count;
    if (S_ISREG(disk->status.st_mode) || S_ISDIR(disk->status.st_mode)) {
        count = flistxattr(disk->fd, disk->names, LIST);
    } else {
        // What is open by O_PATH alone has them by its link in procfs.
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", disk->fd);
        count = listxattr(path, disk->names, LIST);
    }
    disk->name_bytes = count > 0 ? (size_t)count : 0;
    disk->name_at = 0;
}

static ssize_t get_value(struct carc_disk *disk, const char *name) {
    if (S_ISREG(disk->status.st_mode) || S_ISDIR(disk->status.st_mode)) {
        return fgetxattr(disk->fd, name, disk->value, LIST);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", disk->fd);
    return getxattr(path, name, disk->value, LIST);
}

static int describe(struct carc_disk *disk, struct carc_entry *entry) {
    const struct stat *status = &disk->status;
    int is_file = S_ISREG(status->st_mode);
    if (is_file || S_ISDIR(status->st_mode)) {
        int flags = 0;
        if (ioctl(disk->fd, FS_IOC_GETFLAGS, &flags) == 0) entry->flags = (uint32_t)flags;
    }
    if (S_ISLNK(status->st_mode)) {
        if (read_target(disk) != 0) return -1;
        entry->symlink = disk->target;
    }
    list_names(disk);
    entry->path = disk->path;
    entry->mode = status->st_mode;
    entry->uid = status->st_uid;
    entry->gid = status->st_gid;
    entry->major = major(status->st_rdev);
    entry->minor = minor(status->st_rdev);
    entry->seconds = status->st_mtim.tv_sec;
    entry->nanoseconds = (uint32_t)status->st_mtim.tv_nsec;
    entry->disk = status->st_dev;
    entry->inode = status->st_ino;
    entry->change_seconds = status->st_ctim.tv_sec;
    entry->change_nanoseconds = (uint32_t)status->st_ctim.tv_nsec;
    entry->hardlink =
        status->st_nlink > 1 && !S_ISDIR(status->st_mode) ? earlier(disk) : NULL;
    disk->at = 0;
    disk->end = is_file ? (uint64_t)status->st_size : 0;
    entry->size = disk->end;
    return 1;
}

int carc_disk_next(struct carc_disk *disk, struct carc_entry *entry) {
    if (disk->root >= 0) {
        disk->fd = disk->root;
        disk->root = -1;
        if (fstat(disk->fd, &disk->status) != 0) return fail(disk, strerror(errno));
        return describe(disk, entry);
    }
    // The last entry's descriptor is still open, so that a directory is entered through it.
    int is_entered = disk->fd >= 0 && S_ISDIR(disk->status.st_mode) && !disk->is_passed_over;
    disk->is_passed_over = 0;
    if (is_entered) {
        if (enter(disk) != 0) return -1;
    } else if (disk->fd >= 0) {
        close(disk->fd);
        disk->fd = -1;
    }
    while (disk->depth > 0) {
        struct level *level = &disk->levels[disk->depth - 1];
        if (level->next == level->count) {
            if (leave(disk) != 0) return -1;
            continue;
        }
        const char *name = level->names[level->next++];
        if (set_path(disk, name) != 0) return -1;
        disk->is_unreadable = 0;
        if (open_entry(disk, level->fd, name) < 0) {
            if (!disk->is_unreadable) return -1;
            entry->path = disk->path;
            entry->mode = disk->status.st_mode;
            entry->unreadable = 1;
            return 1;
        }
        if (!disk->one_device || disk->status.st_dev == disk->device) return describe(disk, entry);
        close(disk->fd);
        disk->fd = -1;
    }
    return 0;
}

void carc_disk_tell_unreadable(struct carc_disk *disk) { disk->tells_unreadable = 1; }

void carc_disk_pass_over(struct carc_disk *disk) { disk->is_passed_over = 1; }

int carc_disk_data(struct carc_disk *disk, const void **bytes, size_t *count, uint64_t *offset) {
    while (disk->at < disk->end) {
        off_t data = lseek(disk->fd, (off_t)disk->at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) return 0;
        if (data >= 0) disk->at = (uint64_t)data;
        if (disk->at >= disk->end) return 0;
        off_t hole = lseek(disk->fd, (off_t)disk->at, SEEK_HOLE);
        uint64_t end = hole > (off_t)disk->at ? (uint64_t)hole : disk->end;
        if (end > disk->end) end = disk->end;
        uint64_t wanted = end - disk->at < BLOCK ? end - disk->at : BLOCK;
        ssize_t done = pread(disk->fd, disk->buffer, wanted, (off_t)disk->at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail(disk, strerror(errno));
        // It has become shorter meanwhile.
        if (done == 0) return 0;
        *bytes = disk->buffer;
        *count = (size_t)done;
        *offset = disk->at;
        disk->at += (uint64_t)done;
        disk->bytes += (uint64_t)done;
        return 1;
    }
    return 0;
}

int carc_disk_xattr(struct carc_disk *disk, const char **name, const void **value, size_t *count) {
    while (disk->name_at < disk->name_bytes) {
        const char *next = disk->names + disk->name_at;
        disk->name_at += strlen(next) + 1;
        // Access lists are asked for by themselves; the others are XFS's own.
        if (!strncmp(next, "system.posix_acl_", 17) || !strncmp(next, "trusted.SGI_", 12)
            || !strncmp(next, "xfsroot.", 8))
            continue;
        ssize_t found = get_value(disk, next);
        if (found < 0) continue;
        *name = next;
        *value = disk->value;
        *count = (size_t)found;
        return 1;
    }
    return 0;
}

size_t carc_disk_acl(struct carc_disk *disk, int is_default, struct carc_acl_item *items,
                     size_t capacity) {
    ssize_t count =
        get_value(disk, is_default ? "system.posix_acl_default" : "system.posix_acl_access");
    if (count < 4 || (size_t)(count - 4) / 8 > capacity) return 0;
    size_t used = (size_t)(count - 4) / 8;
    for (size_t i = 0; i < used; i++) {
        memcpy(&items[i].tag, disk->value + 4 + i * 8, 2);
        memcpy(&items[i].permissions, disk->value + 6 + i * 8, 2);
        memcpy(&items[i].id, disk->value + 8 + i * 8, 4);
    }
    return used;
}
