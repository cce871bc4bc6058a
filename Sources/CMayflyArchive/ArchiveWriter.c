// An archive is written, in the form of pax, compressed if that is wanted.
#include "carc_disk.h"
#include "carc_library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

// Output goes through a buffer of ours, so that headers can be held back and changed.
struct carc_writer {
    struct archive *archive;
    // The archive that compresses the output, or NULL.
    struct archive *compressor;
    struct archive_entry *entry;
    int descriptor;
    // The bytes that wait to be written, and how many were written before them.
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

// The record to which tar pads an archive, and the sector to which it pads an entry.
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
        la_ssize_t done = carc.archive_write_data(writer->compressor, bytes, count);
        if (done <= 0) {
            errno = carc.archive_errno(writer->compressor);
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
        carc.archive_set_error(archive, errno, "%s", strerror(errno));
        return -1;
    }
    char *longer = realloc(writer->held, writer->held_length + count);
    if (!longer) {
        carc.archive_set_error(archive, ENOMEM, "%s", strerror(ENOMEM));
        return -1;
    }
    memcpy(longer + writer->held_length, bytes, count);
    writer->held = longer;
    writer->held_length += count;
    return (la_ssize_t)count;
}

// Begins a stream without a form of its own, which is compressed. NULL where that cannot be done here.
static struct archive *compress(const char *filter, int descriptor) {
    struct archive *archive = carc.archive_write_new();
    struct archive_entry *entry = carc.archive_entry_new();
    int code = archive && entry ? ARCHIVE_OK : ARCHIVE_FATAL;
    if (code == ARCHIVE_OK) {
        carc.archive_entry_set_filetype(entry, AE_IFREG);
        carc.archive_entry_set_pathname(entry, "tar");
        if (carc.archive_write_set_format_raw(archive) < ARCHIVE_WARN ||
            // A warning is of a program that does it in the library's place.
            carc.archive_write_add_filter_by_name(archive, filter) < ARCHIVE_WARN ||
            // No zeros behind the end, which are no part of it.
            carc.archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK ||
            carc.archive_write_open_fd(archive, descriptor) != ARCHIVE_OK ||
            carc.archive_write_header(archive, entry) < ARCHIVE_WARN)
            code = ARCHIVE_FATAL;
    }
    if (entry) carc.archive_entry_free(entry);
    if (code == ARCHIVE_OK) return archive;
    if (archive) carc.archive_write_free(archive);
    return NULL;
}

struct carc_writer *carc_write_tar(int descriptor, const char *filter) {
    if (carc_load() != 0) return NULL;
    struct carc_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return NULL;
    carc_use_locale(1);
    writer->descriptor = descriptor;
    if (filter) {
        writer->compressor = compress(filter, descriptor);
        if (!writer->compressor) {
            free(writer);
            errno = EOPNOTSUPP;
            return NULL;
        }
    }
    writer->archive = carc.archive_write_new();
    writer->entry = carc.archive_entry_new();
    writer->buffer = malloc(BLOCK);
    if (writer->archive && writer->entry && writer->buffer) {
        carc.archive_write_set_format_pax(writer->archive);
        // The form that GNU tar and others read as well. Nothing is buffered twice.
        if (carc.archive_write_set_options(writer->archive, "xattrheader=SCHILY") >= ARCHIVE_WARN &&
            carc.archive_write_set_bytes_per_block(writer->archive, 0) == ARCHIVE_OK &&
            carc.archive_write_open(writer->archive, writer, NULL, take, NULL) == ARCHIVE_OK)
            return writer;
    }
    carc_finish(writer);
    errno = EIO;
    return NULL;
}

static int fine(int code) { return code < ARCHIVE_WARN ? -1 : 0; }

int carc_entry_set(struct carc_writer *writer, const struct carc_entry *entry) {
    struct archive_entry *e = writer->entry;
    carc.archive_entry_clear(e);
    writer->extent_count = 0;
    carc.archive_entry_copy_pathname(e, entry->path);
    carc.archive_entry_set_mode(e, entry->mode);
    if (entry->hardlink) carc.archive_entry_copy_hardlink(e, entry->hardlink);
    if (entry->symlink) carc.archive_entry_copy_symlink(e, entry->symlink);
    carc.archive_entry_set_uid(e, entry->uid);
    carc.archive_entry_set_gid(e, entry->gid);
    carc.archive_entry_set_size(e, entry->hardlink ? 0 : (la_int64_t)entry->size);
    carc.archive_entry_set_rdevmajor(e, entry->major);
    carc.archive_entry_set_rdevminor(e, entry->minor);
    carc.archive_entry_set_mtime(e, entry->seconds, entry->nanoseconds);
    if (entry->flags) carc.archive_entry_set_fflags(e, entry->flags, 0);
    return 0;
}

int carc_entry_xattr(struct carc_writer *writer, const char *name, const void *value,
                     size_t count) {
    carc.archive_entry_xattr_add_entry(writer->entry, name, value, count);
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
        carc.archive_entry_acl_add_entry(writer->entry, type, item.permissions & 7, tag,
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

// Writes the entry's header with these records in it. The end of the entry before is written as it comes.
static int write_header(struct carc_writer *writer, struct text *records) {
    int code = fine(carc.archive_write_finish_entry(writer->archive));
    writer->held_length = 0;
    writer->holds = 1;
    if (code == 0) code = fine(carc.archive_write_header(writer->archive, writer->entry));
    writer->holds = 0;
    return code == 0 ? put_records(writer, records) : code;
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
    snprintf(size, sizeof size, "%ju", (uintmax_t)carc.archive_entry_size(writer->entry));
    const char *path = carc.archive_entry_pathname(writer->entry);
    if (code == 0 && path) name = stored_name(path);
    code |= !name || append_record(&records, "GNU.sparse.major", "1") ||
            append_record(&records, "GNU.sparse.minor", "0") ||
            append_record(&records, "GNU.sparse.name", path) ||
            append_record(&records, "GNU.sparse.realsize", size);
    if (code == 0) {
        carc.archive_entry_copy_pathname(writer->entry, name);
        carc.archive_entry_set_size(writer->entry, (la_int64_t)(map.length + stored));
        code = write_header(writer, &records);
        if (code == 0) code = carc_write(writer, map.bytes, map.length);
    }
    free(name);
    free(map.bytes);
    free(records.bytes);
    if (code == 0) return 0;
    if (!carc.archive_error_string(writer->archive)) {
        int error = errno ? errno : ENOMEM;
        carc.archive_set_error(writer->archive, error, "%s", strerror(error));
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
    const char *path = carc.archive_entry_pathname(e);
    const char *link = carc.archive_entry_hardlink(e) ? carc.archive_entry_hardlink(e) : carc.archive_entry_symlink(e);
    int is_hard = carc.archive_entry_hardlink(e) != NULL;
    errno = 0;
    int code = append_record(&records, "hdrcharset", "BINARY") || append_record(&records, "path", path) ||
               (link && append_record(&records, "linkpath", link));
    if (code == 0) {
        // A reader that does not know extended headers finds these names.
        carc.archive_entry_copy_pathname(e, "PaxHeader/name");
        if (is_hard) carc.archive_entry_copy_hardlink(e, "PaxHeader/link");
        if (link && !is_hard) carc.archive_entry_copy_symlink(e, "PaxHeader/link");
        code = write_header(writer, &records);
    }
    free(records.bytes);
    if (code == 0) return 0;
    if (!carc.archive_error_string(writer->archive)) {
        int error = errno ? errno : ENOMEM;
        carc.archive_set_error(writer->archive, error, "%s", strerror(error));
    }
    return -1;
}

int carc_entry_begun(struct carc_writer *writer) {
    struct archive_entry *e = writer->entry;
    if (writer->extent_count > 0) return begin_with_map(writer);
    if (has_halves(carc.archive_entry_pathname(e)) || has_halves(carc.archive_entry_hardlink(e)) ||
        has_halves(carc.archive_entry_symlink(e)))
        return begin_with_names(writer);
    return fine(carc.archive_write_header(writer->archive, e));
}

int carc_write(struct carc_writer *writer, const void *bytes, uint64_t count) {
    while (count > 0) {
        la_ssize_t done = carc.archive_write_data(writer->archive, bytes, (size_t)count);
        if (done <= 0) return -1;
        bytes = (const char *)bytes + done;
        count -= (uint64_t)done;
    }
    return 0;
}

int carc_finish(struct carc_writer *writer) {
    int code = ARCHIVE_OK;
    if (writer->archive) {
        code = carc.archive_write_close(writer->archive);
        carc.archive_write_free(writer->archive);
    }
    static const char zeros[RECORD];
    if (writer->buffer &&
        (put(writer, zeros, (RECORD - writer->written % RECORD) % RECORD) != 0 ||
         flush(writer) != 0))
        code = ARCHIVE_FATAL;
    if (writer->compressor) {
        if (carc.archive_write_close(writer->compressor) != ARCHIVE_OK) code = ARCHIVE_FATAL;
        carc.archive_write_free(writer->compressor);
    }
    if (writer->entry) carc.archive_entry_free(writer->entry);
    free(writer->buffer);
    free(writer->held);
    free(writer->extents);
    free(writer);
    return fine(code);
}

const char *carc_writer_error(struct carc_writer *writer) {
    const char *text = carc.archive_error_string(writer->archive);
    return text ? text : "unknown error";
}
