// Archives and folders are read, entry by entry.
#include "carc_disk.h"
#include "carc_library.h"
#include "carc_source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct carc_reader {
    struct archive *archive;
    struct carc_source *source;
    int is_utf8, has_begun;
    struct archive_entry *entry;
    struct carc_disk *disk;  // of a directory, which has no archive
    int unknown;  // whether an access list names somebody whom this machine does not know
    char error[1024];
};

static void fail(struct carc_reader *reader, const char *what, const char *why) {
    carc_error_text(reader->error, sizeof reader->error, what, why ? why : "unknown error");
}

static struct carc_reader *read_disk(struct carc_disk *disk) {
    struct carc_reader *reader = disk ? calloc(1, sizeof *reader) : NULL;
    if (reader) {
        reader->disk = disk;
    } else if (disk) {
        carc_disk_close(disk);
        errno = ENOMEM;
    }
    return reader;
}

struct carc_reader *carc_read_directory(const char *path, int one_device) {
    return read_disk(carc_disk_open(path, one_device));
}

struct carc_reader *carc_read_file(const char *path, const char *name) {
    return read_disk(carc_disk_open_file(path, name));
}

// Begins to read the archive, from its first byte. Returns 0, or -1 with no memory.
static int begin(struct carc_reader *reader, int is_utf8) {
    if (reader->archive) carc.archive_read_free(reader->archive);
    reader->is_utf8 = is_utf8;
    carc_use_locale(is_utf8);
    reader->archive = carc.archive_read_new();
    if (!reader->archive) return -1;
    carc.archive_read_support_filter_all(reader->archive);
    // Not mtree and raw, which take any text for an archive.
    carc.archive_read_support_format_tar(reader->archive);
    carc.archive_read_support_format_gnutar(reader->archive);
    carc.archive_read_support_format_zip(reader->archive);
    carc.archive_read_support_format_cpio(reader->archive);
    carc.archive_read_support_format_7zip(reader->archive);
    carc.archive_read_support_format_iso9660(reader->archive);
#ifndef CARC_LINKED // It takes libxml2, and that ICU: more than all the rest of a static program.
    carc.archive_read_support_format_xar(reader->archive);
#endif
    // libarchive finds out at the first entry whether this is an archive at all, and says why not.
    if (carc_source_begin(reader->source, reader->archive) < ARCHIVE_WARN) {
        int is_damaged = carc_source_wrong(reader->source) != NULL;
        fail(reader,
             is_damaged ? "it is damaged" : "it is no archive that can be read, name one or a directory",
             carc.archive_error_string(reader->archive));
    }
    return 0;
}

struct carc_reader *carc_read_archive(const char *path, int descriptor) {
    if (carc_load() != 0) return NULL;
    struct carc_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return NULL;
    reader->source = carc_source_open(path, descriptor);
    if (reader->source && begin(reader, carc_source_needs_utf8(reader->source)) == 0) return reader;
    int error = reader->source ? ENOMEM : errno;
    if (reader->source) carc_source_close(reader->source);
    free(reader);
    errno = error;
    return NULL;
}

void carc_close(struct carc_reader *reader) {
    if (reader->disk) carc_disk_close(reader->disk);
    if (reader->archive) carc.archive_read_free(reader->archive);
    if (reader->source) carc_source_close(reader->source);
    free(reader);
}

const char *carc_error(struct carc_reader *reader) {
    return reader->disk ? carc_disk_error(reader->disk) : reader->error;
}

uint64_t carc_bytes_read(struct carc_reader *reader) {
    return reader->disk ? carc_disk_bytes(reader->disk)
                        : carc_source_bytes(reader->source, reader->archive);
}

// A user's or group's number, which Linux has 32 bits for and none of all ones.
static int take_id(struct carc_reader *reader, la_int64_t number, const char *what, uint32_t *id) {
    if (number >= 0 && number < UINT32_MAX) {
        *id = (uint32_t)number;
        return 0;
    }
    char why[160];
    snprintf(why, sizeof why, "its %s is number %lld, which cannot be: there are 0 to %u", what,
             (long long)number, UINT32_MAX - 1);
    fail(reader, carc.archive_entry_pathname(reader->entry), why);
    return -1;
}

static int describe(struct carc_reader *reader, struct carc_entry *entry) {
    struct archive_entry *e = reader->entry;
    unsigned long set = 0, clear = 0;
    carc.archive_entry_fflags(e, &set, &clear);
    entry->hardlink = carc.archive_entry_hardlink(e);
    entry->symlink = carc.archive_entry_symlink(e);
    entry->mode = carc.archive_entry_mode(e);
    entry->flags = (uint32_t)set;
    entry->major = (uint32_t)carc.archive_entry_rdevmajor(e);
    entry->minor = (uint32_t)carc.archive_entry_rdevminor(e);
    entry->size = carc.archive_entry_size_is_set(e) ? (uint64_t)carc.archive_entry_size(e) : 0;
    entry->seconds = carc.archive_entry_mtime(e);
    entry->nanoseconds = (uint32_t)carc.archive_entry_mtime_nsec(e);
    carc.archive_entry_xattr_reset(e);
    return take_id(reader, carc.archive_entry_uid(e), "owner", &entry->uid) ||
           take_id(reader, carc.archive_entry_gid(e), "group", &entry->gid);
}

// Whether the names of a form are text there, and converted: neither tar nor cpio.
static int is_converted(int format) {
    int base = format & ARCHIVE_FORMAT_BASE_MASK;
    return base == ARCHIVE_FORMAT_7ZIP || base == ARCHIVE_FORMAT_ISO9660 ||
           base == ARCHIVE_FORMAT_XAR || base == ARCHIVE_FORMAT_ZIP;
}

static int next_header(struct carc_reader *reader) {
    carc_use_locale(reader->is_utf8);
    int code = carc.archive_read_next_header(reader->archive, &reader->entry);
    // By now libarchive knows how the archive is compressed.
    if (!reader->has_begun && code >= ARCHIVE_WARN && !reader->is_utf8 &&
        is_converted(carc.archive_format(reader->archive)) && carc_source_is_seekable(reader->source)) {
        int is_zip =
            (carc.archive_format(reader->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
        if (is_zip && carc_source_unpack(reader->source) != 0) {
            fail(reader, "it cannot be unpacked to a file in /tmp", strerror(errno));
            return ARCHIVE_FATAL;
        }
        if (begin(reader, 1) != 0) return ARCHIVE_FATAL;
        code = carc.archive_read_next_header(reader->archive, &reader->entry);
    }
    reader->has_begun = 1;
    return code;
}

int carc_next(struct carc_reader *reader, struct carc_entry *entry) {
    if (reader->error[0]) return -1;
    memset(entry, 0, sizeof *entry);
    if (reader->disk) return carc_disk_next(reader->disk, entry);
    int code = next_header(reader);
    if (code == ARCHIVE_EOF) {
        const char *wrong = carc_source_finish(reader->source);
        if (!wrong) return 0;
        fail(reader, "it is damaged", wrong);
        return -1;
    }
    // A warning is of something that the entry has and that is not understood.
    if (code < ARCHIVE_WARN || !reader->archive) {
        if (!reader->error[0])
            fail(reader, "it is no archive, or a damaged one",
                 reader->archive ? carc.archive_error_string(reader->archive) : strerror(ENOMEM));
        return -1;
    }
    if (describe(reader, entry) != 0) return -1;
    entry->path = carc.archive_entry_pathname(reader->entry);
    if (!entry->path) entry->path = carc.archive_entry_pathname_utf8(reader->entry);
    if (!entry->path) {
        fail(reader, "it is damaged", "an entry has no name");
        return -1;
    }
    entry->path = carc_source_name(reader->source, entry->path);
    return 1;
}

void carc_tell_unreadable(struct carc_reader *reader) {
    if (reader->disk) carc_disk_tell_unreadable(reader->disk);
}

void carc_pass_over(struct carc_reader *reader) {
    if (reader->disk) carc_disk_pass_over(reader->disk);
}

int carc_data(struct carc_reader *reader, const void **bytes, size_t *count, uint64_t *offset) {
    if (reader->disk) return carc_disk_data(reader->disk, bytes, count, offset);
    la_int64_t at;
    int code = carc.archive_read_data_block(reader->archive, bytes, count, &at);
    if (code == ARCHIVE_EOF) return 0;
    if (code < ARCHIVE_WARN || at < 0) {
        fail(reader, carc.archive_entry_pathname(reader->entry), carc.archive_error_string(reader->archive));
        return -1;
    }
    *offset = (uint64_t)at;
    return 1;
}

int carc_xattr(struct carc_reader *reader, const char **name, const void **value, size_t *count) {
    if (reader->disk) return carc_disk_xattr(reader->disk, name, value, count);
    return carc.archive_entry_xattr_next(reader->entry, name, value, count) == ARCHIVE_OK;
}

static int by_tag(const void *a, const void *b) {
    const struct carc_acl_item *x = a, *y = b;
    if (x->tag != y->tag) return x->tag < y->tag ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

// GNU tar names users and groups where it knows names.
static uint32_t id_of(int id, const char *name, int is_group) {
    if (id >= 0 || !name) return (uint32_t)id;
    if (is_group) {
        const struct group *group = getgrnam(name);
        return group ? group->gr_gid : UINT32_MAX;
    }
    const struct passwd *user = getpwnam(name);
    return user ? user->pw_uid : UINT32_MAX;
}

// The entries of an access list that an archive has.
static size_t acl_of_archive(struct carc_reader *reader, int is_default,
                             struct carc_acl_item *items, size_t capacity) {
    int type = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
    carc.archive_entry_acl_reset(reader->entry, type);
    size_t used = 0;
    int entry_type, permissions, tag, id;
    const char *name;
    while (used < capacity && carc.archive_entry_acl_next(reader->entry, type, &entry_type, &permissions, &tag,
                                                &id, &name) == ARCHIVE_OK) {
        struct carc_acl_item item = {0, (uint16_t)(permissions & 7), UINT32_MAX};
        switch (tag) {
        case ARCHIVE_ENTRY_ACL_USER_OBJ: item.tag = 0x01; break;
        case ARCHIVE_ENTRY_ACL_USER: item.tag = 0x02; item.id = id_of(id, name, 0); break;
        case ARCHIVE_ENTRY_ACL_GROUP_OBJ: item.tag = 0x04; break;
        case ARCHIVE_ENTRY_ACL_GROUP: item.tag = 0x08; item.id = id_of(id, name, 1); break;
        case ARCHIVE_ENTRY_ACL_MASK: item.tag = 0x10; break;
        case ARCHIVE_ENTRY_ACL_OTHER: item.tag = 0x20; break;
        default: continue;
        }
        if ((item.tag == 0x02 || item.tag == 0x08) && item.id == UINT32_MAX) {
            reader->unknown = 1;
            continue;
        }
        items[used++] = item;
    }
    return used;
}

size_t carc_acl(struct carc_reader *reader, int is_default, uint8_t *bytes, size_t capacity) {
    struct carc_acl_item items[512];
    size_t used = reader->disk ? carc_disk_acl(reader->disk, is_default, items, 512)
                               : acl_of_archive(reader, is_default, items, 512);
    // Up to three entries are the mode's.
    if (used == 0 || (!is_default && used <= 3)) return 0;
    qsort(items, used, sizeof items[0], by_tag);
    if (4 + used * 8 > capacity) return 0;
    const uint32_t version = 2;
    memcpy(bytes, &version, 4);
    for (size_t i = 0; i < used; i++) {
        memcpy(bytes + 4 + i * 8, &items[i].tag, 2);
        memcpy(bytes + 6 + i * 8, &items[i].permissions, 2);
        memcpy(bytes + 8 + i * 8, &items[i].id, 4);
    }
    return 4 + used * 8;
}

int carc_take_unknown(struct carc_reader *reader) {
    int unknown = reader->unknown;
    reader->unknown = 0;
    return unknown;
}
