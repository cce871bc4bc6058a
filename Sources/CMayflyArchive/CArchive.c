#include "carc_disk.h"
#include "carc_library.h"
#include "carc_source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <locale.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

struct carc_reader {
    struct archive *archive;
    struct carc_source *source;
    int is_utf8, has_begun;
    struct archive_entry *entry;
    struct carc_disk *disk;  // of a directory, which has no archive
    int unknown;  // whether an access list names somebody whom this machine does not know
    char error[1024];
};

// Names are converted by the locale's character set: that of C.UTF-8, which loses none, or of C, which
// changes none (carc_source.h).
static void use_locale(int is_utf8) {
    static locale_t locales[2];
    if (!locales[is_utf8])
        locales[is_utf8] = newlocale(LC_CTYPE_MASK, is_utf8 ? "C.UTF-8" : "C", (locale_t)0);
    if (locales[is_utf8]) uselocale(locales[is_utf8]);
}

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
    if (reader->archive) archive_read_free(reader->archive);
    reader->is_utf8 = is_utf8;
    use_locale(is_utf8);
    reader->archive = archive_read_new();
    if (!reader->archive) return -1;
    archive_read_support_filter_all(reader->archive);
    // Not mtree and raw, which take any text for an archive.
    archive_read_support_format_tar(reader->archive);
    archive_read_support_format_gnutar(reader->archive);
    archive_read_support_format_zip(reader->archive);
    archive_read_support_format_cpio(reader->archive);
    archive_read_support_format_7zip(reader->archive);
    archive_read_support_format_iso9660(reader->archive);
#ifndef CARC_LINKED // It takes libxml2, and that ICU: more than all the rest of a static program.
    archive_read_support_format_xar(reader->archive);
#endif
    // What is no archive is told at the first entry, by then with its reason.
    if (carc_source_begin(reader->source, reader->archive) < ARCHIVE_WARN) {
        int is_damaged = carc_source_wrong(reader->source) != NULL;
        fail(reader,
             is_damaged ? "it is damaged" : "it is no archive that can be read, name one or a directory",
             archive_error_string(reader->archive));
    }
    return 0;
}

struct carc_reader *carc_read_archive(const char *path, int descriptor) {
    if (carc_library_load() != 0) return NULL;
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
    if (reader->archive) archive_read_free(reader->archive);
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
    fail(reader, archive_entry_pathname(reader->entry), why);
    return -1;
}

static int describe(struct carc_reader *reader, struct carc_entry *entry) {
    struct archive_entry *e = reader->entry;
    unsigned long set = 0, clear = 0;
    archive_entry_fflags(e, &set, &clear);
    entry->hardlink = archive_entry_hardlink(e);
    entry->symlink = archive_entry_symlink(e);
    entry->mode = archive_entry_mode(e);
    entry->flags = (uint32_t)set;
    entry->major = (uint32_t)archive_entry_rdevmajor(e);
    entry->minor = (uint32_t)archive_entry_rdevminor(e);
    entry->size = archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : 0;
    entry->seconds = archive_entry_mtime(e);
    entry->nanoseconds = (uint32_t)archive_entry_mtime_nsec(e);
    archive_entry_xattr_reset(e);
    return take_id(reader, archive_entry_uid(e), "owner", &entry->uid) ||
           take_id(reader, archive_entry_gid(e), "group", &entry->gid);
}

// Whether the names of a form are text there, and converted: neither tar nor cpio.
static int is_converted(int format) {
    int base = format & ARCHIVE_FORMAT_BASE_MASK;
    return base == ARCHIVE_FORMAT_7ZIP || base == ARCHIVE_FORMAT_ISO9660 ||
           base == ARCHIVE_FORMAT_XAR || base == ARCHIVE_FORMAT_ZIP;
}

static int next_header(struct carc_reader *reader) {
    use_locale(reader->is_utf8);
    int code = archive_read_next_header(reader->archive, &reader->entry);
    // What is compressed is known by now.
    if (!reader->has_begun && code >= ARCHIVE_WARN && !reader->is_utf8 &&
        is_converted(archive_format(reader->archive)) && carc_source_is_seekable(reader->source)) {
        int is_zip =
            (archive_format(reader->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
        if (is_zip && carc_source_unpack(reader->source) != 0) {
            fail(reader, "it cannot be unpacked to a file in /tmp", strerror(errno));
            return ARCHIVE_FATAL;
        }
        if (begin(reader, 1) != 0) return ARCHIVE_FATAL;
        code = archive_read_next_header(reader->archive, &reader->entry);
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
                 reader->archive ? archive_error_string(reader->archive) : strerror(ENOMEM));
        return -1;
    }
    if (describe(reader, entry) != 0) return -1;
    entry->path = archive_entry_pathname(reader->entry);
    if (!entry->path) entry->path = archive_entry_pathname_utf8(reader->entry);
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
    int code = archive_read_data_block(reader->archive, bytes, count, &at);
    if (code == ARCHIVE_EOF) return 0;
    if (code < ARCHIVE_WARN || at < 0) {
        fail(reader, archive_entry_pathname(reader->entry), archive_error_string(reader->archive));
        return -1;
    }
    *offset = (uint64_t)at;
    return 1;
}

int carc_xattr(struct carc_reader *reader, const char **name, const void **value, size_t *count) {
    if (reader->disk) return carc_disk_xattr(reader->disk, name, value, count);
    return archive_entry_xattr_next(reader->entry, name, value, count) == ARCHIVE_OK;
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
    archive_entry_acl_reset(reader->entry, type);
    size_t used = 0;
    int entry_type, permissions, tag, id;
    const char *name;
    while (used < capacity && archive_entry_acl_next(reader->entry, type, &entry_type, &permissions, &tag,
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

// MARK: writing

// Output goes through a buffer of ours, so that headers can be held back and changed.
struct carc_writer {
    struct archive *archive;
    // What compresses the output, or NULL.
    struct archive *compressor;
    struct archive_entry *entry;
    int descriptor;
    // What waits to be written, and how much was before it.
    char *buffer;
    size_t filled;
    uint64_t written;
    // Where output goes instead, while a header is held.
    char *held;
    size_t held_length;
    int holds;
    // Stretches of the entry that hold data.
    struct extent {
        uint64_t offset, count;
    } *extents;
    size_t extent_count, extent_room;
};

// What tar pads an archive to.
enum { RECORD = 10240, SECTOR = 512 };

static int put_all(int descriptor, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = write(descriptor, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

static int pass_on(struct carc_writer *writer, const char *bytes, size_t count) {
    if (!writer->compressor) return put_all(writer->descriptor, bytes, count);
    while (count > 0) {
        la_ssize_t done = archive_write_data(writer->compressor, bytes, count);
        if (done <= 0) {
            errno = archive_errno(writer->compressor);
            return -1;
        }
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

static int flush(struct carc_writer *writer) {
    size_t count = writer->filled;
    writer->filled = 0;
    return pass_on(writer, writer->buffer, count);
}

static int put(struct carc_writer *writer, const void *bytes, size_t count) {
    writer->written += count;
    if (count > BLOCK - writer->filled && flush(writer) != 0) return -1;
    if (count >= BLOCK) return pass_on(writer, bytes, count);
    memcpy(writer->buffer + writer->filled, bytes, count);
    writer->filled += count;
    return 0;
}

static la_ssize_t take(struct archive *archive, void *data, const void *bytes, size_t count) {
    struct carc_writer *writer = data;
    if (!writer->holds) {
        if (put(writer, bytes, count) == 0) return (la_ssize_t)count;
        archive_set_error(archive, errno, "%s", strerror(errno));
        return -1;
    }
    char *longer = realloc(writer->held, writer->held_length + count);
    if (!longer) {
        archive_set_error(archive, ENOMEM, "%s", strerror(ENOMEM));
        return -1;
    }
    memcpy(longer + writer->held_length, bytes, count);
    writer->held = longer;
    writer->held_length += count;
    return (la_ssize_t)count;
}

// Begins a stream without a form of its own, which is compressed. NULL where that cannot be done here.
static struct archive *compress(const char *filter, int descriptor) {
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    int code = archive && entry ? ARCHIVE_OK : ARCHIVE_FATAL;
    if (code == ARCHIVE_OK) {
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_pathname(entry, "tar");
        if (archive_write_set_format_raw(archive) < ARCHIVE_WARN ||
            // A warning is of a program that does it in the library's place.
            archive_write_add_filter_by_name(archive, filter) < ARCHIVE_WARN ||
            // No zeros behind the end, which are no part of it.
            archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK ||
            archive_write_open_fd(archive, descriptor) != ARCHIVE_OK ||
            archive_write_header(archive, entry) < ARCHIVE_WARN)
            code = ARCHIVE_FATAL;
    }
    if (entry) archive_entry_free(entry);
    if (code == ARCHIVE_OK) return archive;
    if (archive) archive_write_free(archive);
    return NULL;
}

struct carc_writer *carc_write_tar(int descriptor, const char *filter) {
    if (carc_library_load() != 0) return NULL;
    struct carc_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return NULL;
    use_locale(1);
    writer->descriptor = descriptor;
    if (filter) {
        writer->compressor = compress(filter, descriptor);
        if (!writer->compressor) {
            free(writer);
            errno = EOPNOTSUPP;
            return NULL;
        }
    }
    writer->archive = archive_write_new();
    writer->entry = archive_entry_new();
    writer->buffer = malloc(BLOCK);
    if (writer->archive && writer->entry && writer->buffer) {
        archive_write_set_format_pax(writer->archive);
        // The form that GNU tar and others read as well. Nothing is buffered twice.
        if (archive_write_set_options(writer->archive, "xattrheader=SCHILY") >= ARCHIVE_WARN &&
            archive_write_set_bytes_per_block(writer->archive, 0) == ARCHIVE_OK &&
            archive_write_open(writer->archive, writer, NULL, take, NULL) == ARCHIVE_OK)
            return writer;
    }
    carc_finish(writer);
    errno = EIO;
    return NULL;
}

static int fine(int code) { return code < ARCHIVE_WARN ? -1 : 0; }

int carc_entry_set(struct carc_writer *writer, const struct carc_entry *entry) {
    struct archive_entry *e = writer->entry;
    archive_entry_clear(e);
    writer->extent_count = 0;
    archive_entry_copy_pathname(e, entry->path);
    archive_entry_set_mode(e, entry->mode);
    if (entry->hardlink) archive_entry_copy_hardlink(e, entry->hardlink);
    if (entry->symlink) archive_entry_copy_symlink(e, entry->symlink);
    archive_entry_set_uid(e, entry->uid);
    archive_entry_set_gid(e, entry->gid);
    archive_entry_set_size(e, entry->hardlink ? 0 : (la_int64_t)entry->size);
    archive_entry_set_rdevmajor(e, entry->major);
    archive_entry_set_rdevminor(e, entry->minor);
    archive_entry_set_mtime(e, entry->seconds, entry->nanoseconds);
    if (entry->flags) archive_entry_set_fflags(e, entry->flags, 0);
    return 0;
}

int carc_entry_xattr(struct carc_writer *writer, const char *name, const void *value,
                     size_t count) {
    archive_entry_xattr_add_entry(writer->entry, name, value, count);
    return 0;
}

int carc_entry_acl(struct carc_writer *writer, int is_default, const uint8_t *bytes,
                   size_t count) {
    int type = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
    for (size_t at = 4; at + 8 <= count; at += 8) {
        struct carc_acl_item item;
        memcpy(&item.tag, bytes + at, 2);
        memcpy(&item.permissions, bytes + at + 2, 2);
        memcpy(&item.id, bytes + at + 4, 4);
        int tag = item.tag == 0x01   ? ARCHIVE_ENTRY_ACL_USER_OBJ
                  : item.tag == 0x02 ? ARCHIVE_ENTRY_ACL_USER
                  : item.tag == 0x04 ? ARCHIVE_ENTRY_ACL_GROUP_OBJ
                  : item.tag == 0x08 ? ARCHIVE_ENTRY_ACL_GROUP
                  : item.tag == 0x10 ? ARCHIVE_ENTRY_ACL_MASK
                                     : ARCHIVE_ENTRY_ACL_OTHER;
        int isNamed = item.tag == 0x02 || item.tag == 0x08;
        archive_entry_acl_add_entry(writer->entry, type, item.permissions & 7, tag,
                                    isNamed ? (int)item.id : -1, NULL);
    }
    return 0;
}

int carc_entry_extent(struct carc_writer *writer, uint64_t offset, uint64_t count) {
    if (writer->extent_count == writer->extent_room) {
        size_t room = writer->extent_room ? writer->extent_room * 2 : 16;
        struct extent *more = realloc(writer->extents, room * sizeof *more);
        if (!more) return -1;
        writer->extents = more;
        writer->extent_room = room;
    }
    writer->extents[writer->extent_count++] = (struct extent){offset, count};
    return 0;
}

// MARK: files with holes
//
// In the form that GNU tar calls 1.0: the content begins with a map of the stretches that hold data,
// and the extended header says so. libarchive writes it, too, but steps through each hole, which in
// a file of 8 EiB takes minutes.

struct text {
    char *bytes;
    size_t length;
};

static int append(struct text *text, const char *bytes, size_t count) {
    char *longer = realloc(text->bytes, text->length + count);
    if (!longer) return -1;
    memcpy(longer + text->length, bytes, count);
    text->bytes = longer;
    text->length += count;
    return 0;
}

static int append_number(struct text *text, uint64_t number) {
    char line[24];
    return append(text, line, (size_t)snprintf(line, sizeof line, "%ju\n", (uintmax_t)number));
}

// One line of an extended header, whose length counts itself.
static int append_record(struct text *text, const char *key, const char *value) {
    size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
    char digits[24];
    while (rest + (size_t)snprintf(digits, sizeof digits, "%zu", length) != length) length++;
    return append(text, digits, strlen(digits)) || append(text, " ", 1) ||
           append(text, key, strlen(key)) || append(text, "=", 1) ||
           append(text, value, strlen(value)) || append(text, "\n", 1);
}

static int pad(struct text *text) {
    static const char zeros[SECTOR];
    return append(text, zeros, (SECTOR - text->length % SECTOR) % SECTOR);
}

// The name under which a reader that does not know the form finds map and data.
static char *stored_name(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    char *name = malloc(strlen(path) + 17);
    if (name) sprintf(name, "%.*sGNUSparseFile.0/%s", (int)folder, path, path + folder);
    return name;
}

// Puts records into the extended header that is held, or one before the header if there is none.
static int put_records(struct carc_writer *writer, struct text *records) {
    if (writer->held_length < SECTOR) return -1;
    char header[SECTOR + 1] = {0};
    memcpy(header, writer->held, SECTOR);
    size_t rest = 0;
    if (header[156] == 'x') {
        size_t length = strtoul(header + 124, NULL, 8);
        rest = SECTOR + (length + SECTOR - 1) / SECTOR * SECTOR;
        if (rest > writer->held_length) return -1;
        if (append(records, writer->held + SECTOR, length) != 0) return -1;
    } else {
        memset(header, 0, 100);
        strcpy(header, "PaxHeader/GNUSparseFile.0");
        header[156] = 'x';
        memset(header + 157, 0, 100);
        memset(header + 345, 0, 155);
    }
    snprintf(header + 124, 12, "%011zo", records->length);
    header[135] = ' ';
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < SECTOR; i++) sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    return pad(records) || put(writer, header, SECTOR) ||
           put(writer, records->bytes, records->length) ||
           put(writer, writer->held + rest, writer->held_length - rest);
}

static int begin_with_map(struct carc_writer *writer) {
    struct text map = {0}, records = {0};
    char *name = NULL;
    errno = 0;
    int code = append_number(&map, writer->extent_count);
    uint64_t stored = 0;
    for (size_t i = 0; i < writer->extent_count; i++) {
        code |= append_number(&map, writer->extents[i].offset) |
                append_number(&map, writer->extents[i].count);
        stored += writer->extents[i].count;
    }
    code |= pad(&map);
    char size[24];
    snprintf(size, sizeof size, "%ju", (uintmax_t)archive_entry_size(writer->entry));
    const char *path = archive_entry_pathname(writer->entry);
    if (code == 0 && path) name = stored_name(path);
    code |= !name || append_record(&records, "GNU.sparse.major", "1") ||
            append_record(&records, "GNU.sparse.minor", "0") ||
            append_record(&records, "GNU.sparse.name", path) ||
            append_record(&records, "GNU.sparse.realsize", size);
    if (code == 0) {
        archive_entry_copy_pathname(writer->entry, name);
        archive_entry_set_size(writer->entry, (la_int64_t)(map.length + stored));
        // What ends the entry before is not held.
        code = fine(archive_write_finish_entry(writer->archive));
        writer->held_length = 0;
        writer->holds = 1;
        if (code == 0) code = fine(archive_write_header(writer->archive, writer->entry));
        writer->holds = 0;
        if (code == 0) code = put_records(writer, &records);
        if (code == 0) code = carc_write(writer, map.bytes, map.length);
    }
    free(name);
    free(map.bytes);
    free(records.bytes);
    if (code == 0) return 0;
    if (!archive_error_string(writer->archive)) {
        int error = errno ? errno : ENOMEM;
        archive_set_error(writer->archive, error, "%s", strerror(error));
    }
    return -1;
}

// Whether libarchive would write a name otherwise than it is: halves of pairs that are each three bytes
// become one character of four.
static int has_halves(const char *name) {
    for (; name && *name; name++) {
        if ((uint8_t)name[0] == 0xED && (uint8_t)name[1] >= 0xA0) return 1;
    }
    return 0;
}

// Begins an entry whose names are put into its extended header here, as the bytes that they are.
static int begin_with_names(struct carc_writer *writer) {
    struct archive_entry *e = writer->entry;
    struct text records = {0};
    const char *path = archive_entry_pathname(e);
    const char *link = archive_entry_hardlink(e) ? archive_entry_hardlink(e) : archive_entry_symlink(e);
    int is_hard = archive_entry_hardlink(e) != NULL;
    errno = 0;
    int code = append_record(&records, "hdrcharset", "BINARY") || append_record(&records, "path", path) ||
               (link && append_record(&records, "linkpath", link));
    if (code == 0) {
        // What a reader finds that does not know extended headers.
        archive_entry_copy_pathname(e, "PaxHeader/name");
        if (is_hard) archive_entry_copy_hardlink(e, "PaxHeader/link");
        if (link && !is_hard) archive_entry_copy_symlink(e, "PaxHeader/link");
        // What ends the entry before is not held.
        code = fine(archive_write_finish_entry(writer->archive));
        writer->held_length = 0;
        writer->holds = 1;
        if (code == 0) code = fine(archive_write_header(writer->archive, e));
        writer->holds = 0;
        if (code == 0) code = put_records(writer, &records);
    }
    free(records.bytes);
    if (code == 0) return 0;
    if (!archive_error_string(writer->archive)) {
        int error = errno ? errno : ENOMEM;
        archive_set_error(writer->archive, error, "%s", strerror(error));
    }
    return -1;
}

int carc_entry_begun(struct carc_writer *writer) {
    struct archive_entry *e = writer->entry;
    if (writer->extent_count > 0) return begin_with_map(writer);
    if (has_halves(archive_entry_pathname(e)) || has_halves(archive_entry_hardlink(e)) ||
        has_halves(archive_entry_symlink(e)))
        return begin_with_names(writer);
    return fine(archive_write_header(writer->archive, e));
}

int carc_write(struct carc_writer *writer, const void *bytes, uint64_t count) {
    while (count > 0) {
        la_ssize_t done = archive_write_data(writer->archive, bytes, (size_t)count);
        if (done <= 0) return -1;
        bytes = (const char *)bytes + done;
        count -= (uint64_t)done;
    }
    return 0;
}

int carc_finish(struct carc_writer *writer) {
    int code = ARCHIVE_OK;
    if (writer->archive) {
        code = archive_write_close(writer->archive);
        archive_write_free(writer->archive);
    }
    static const char zeros[RECORD];
    if (writer->buffer &&
        (put(writer, zeros, (RECORD - writer->written % RECORD) % RECORD) != 0 ||
         flush(writer) != 0))
        code = ARCHIVE_FATAL;
    if (writer->compressor) {
        if (archive_write_close(writer->compressor) != ARCHIVE_OK) code = ARCHIVE_FATAL;
        archive_write_free(writer->compressor);
    }
    if (writer->entry) archive_entry_free(writer->entry);
    free(writer->buffer);
    free(writer->held);
    free(writer->extents);
    free(writer);
    return fine(code);
}

const char *carc_writer_error(struct carc_writer *writer) {
    const char *text = archive_error_string(writer->archive);
    return text ? text : "unknown error";
}
