// A directory as a stream of entries, walked by descriptors.
//
// Nothing below the root is reached by a path: a name is looked at and opened in an open directory, and
// no symbolic link is followed. So whoever swaps names while it is read can hide and show what lies in
// the tree, and nothing that lies outside. Paths may be longer than PATH_MAX, and deeper than there may
// be descriptors.
#ifndef CARC_DISK_H
#define CARC_DISK_H

#include "carc.h"

#include <stdio.h>
#include <string.h>

// An entry of an access list as the kernel has it: include/uapi/linux/posix_acl_xattr.h.
struct carc_acl_item {
    uint16_t tag, permissions;
    uint32_t id;
};

struct carc_disk;

// Puts what something is about and why into one line. Of a long path the end is told, so that there is room
// for the reason.
static inline void carc_error_text(char *text, size_t room, const char *what, const char *why) {
    enum { MOST = 300 };
    size_t count = what ? strlen(what) : 0;
    const char *dots = "";
    if (count > MOST + 100) {
        what += count - MOST;
        const char *slash = strchr(what, '/');
        if (slash) what = slash;
        dots = "...";
    }
    snprintf(text, room, "%s%s: %s", dots, what ? what : "an entry", why);
    for (char *c = text; *c; c++) {
        if (*c == '\n') *c = ' ';
    }
}

// As the functions of carc.h with the same names.
struct carc_disk *carc_disk_open(const char *path, int one_device);
struct carc_disk *carc_disk_open_file(const char *path, const char *name);
void carc_disk_close(struct carc_disk *disk);
int carc_disk_next(struct carc_disk *disk, struct carc_entry *entry);
void carc_disk_pass_over(struct carc_disk *disk);
void carc_disk_tell_unreadable(struct carc_disk *disk);
int carc_disk_data(struct carc_disk *disk, const void **bytes, size_t *count, uint64_t *offset);
int carc_disk_xattr(struct carc_disk *disk, const char **name, const void **value, size_t *count);
const char *carc_disk_error(struct carc_disk *disk);
uint64_t carc_disk_bytes(struct carc_disk *disk);

// The entries of an access list in any order. Returns their number.
size_t carc_disk_acl(struct carc_disk *disk, int is_default, struct carc_acl_item *items,
                     size_t capacity);

#endif
