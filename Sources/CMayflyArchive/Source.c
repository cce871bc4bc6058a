#include "carc_source.h"

#include "carc_gunzip.h"
#include "carc_library.h"
#include "carc_zip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// HEAD: as far as the form of an archive can be seen, which of ISO 9660 is in the 17th sector.
enum { BLOCK = 1 << 20, SECTOR = 512, HEAD = 33 << 10, ISO_NAME = 32769 };

struct carc_source {
    int file, is_owned, is_seekable;
    // Of a copy that was made to be seekable.
    FILE *copy;
    uint64_t position;
    char *buffer;
    // What was read to see what it is.
    char head[HEAD];
    size_t head_count;
    struct carc_zip zip;
    // Of what is compressed by gzip, and the bytes that it held.
    struct carc_gunzip *gunzip;
    char *unpacked;
    // What is wrong with what it holds, once that was met.
    const char *wrong;
};

static ssize_t read_some(int file, void *bytes, size_t count) {
    ssize_t done;
    do {
        done = read(file, bytes, count);
    } while (done < 0 && errno == EINTR);
    return done;
}

// Whether it begins as a tar archive does: with a header whose checksum is right.
static int is_tar(const struct carc_source *source) {
    if (source->head_count < SECTOR) return 0;
    const unsigned char *header = (const unsigned char *)source->head;
    unsigned sum = 8 * ' ';
    for (int i = 0; i < SECTOR; i++) {
        if (i < 148 || i >= 156) sum += header[i];
    }
    char digits[9] = {0};
    memcpy(digits, header + 148, 8);
    return sum > 8 * ' ' && strtoul(digits, NULL, 8) == sum;
}

static int begins(const struct carc_source *source, const char *magic, size_t count) {
    return source->head_count >= count && !memcmp(source->head, magic, count);
}

// A zip, or a program that has one behind it.
static int is_zip(const struct carc_source *source) {
    return !is_tar(source) && (begins(source, "PK", 2) || begins(source, "MZ", 2) ||
                               begins(source, "\177ELF", 4) || begins(source, "#!", 2));
}

static int put_all(int file, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = write(file, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

// A stream of which all must be known is copied to a file that has no name.
static int spool(struct carc_source *source) {
    source->copy = tmpfile();
    if (!source->copy) return -1;
    int copy = fileno(source->copy);
    const char *bytes = source->head;
    ssize_t count = (ssize_t)source->head_count;
    while (count > 0) {
        if (put_all(copy, bytes, (size_t)count) != 0) return -1;
        bytes = source->buffer;
        count = read_some(source->file, source->buffer, BLOCK);
    }
    if (count < 0 || lseek(copy, 0, SEEK_SET) != 0) return -1;
    if (source->is_owned) close(source->file);
    source->is_owned = 0;
    source->file = copy;
    source->is_seekable = 1;
    return 0;
}

static int look(struct carc_source *source) {
    struct stat status;
    if (fstat(source->file, &status) != 0) return -1;
    if (S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    source->is_seekable =
        (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) && lseek(source->file, 0, SEEK_CUR) == 0;
    while (source->head_count < HEAD) {
        ssize_t count = read_some(source->file, source->head + source->head_count,
                                  HEAD - source->head_count);
        if (count < 0) return -1;
        if (count == 0) break;
        source->head_count += (size_t)count;
    }
    if (!source->gunzip && carc_gunzip_is(source->head, source->head_count)) {
        source->gunzip = carc_gunzip_new();
        source->unpacked = malloc(BLOCK);
        if (!source->gunzip || !source->unpacked) {
            errno = ENOMEM;
            return -1;
        }
    }
    if (begins(source, "PK\3\4", 4) && !is_tar(source) && !source->is_seekable && spool(source) != 0)
        return -1;
    if (!source->is_seekable) return 0;
    off_t size = lseek(source->file, 0, SEEK_END);
    if (size >= 0 && is_zip(source) && carc_zip_read(&source->zip, source->file, (uint64_t)size) != 0) {
        errno = ENOMEM;
        return -1;
    }
    return lseek(source->file, 0, SEEK_SET) == 0 ? 0 : -1;
}

// Copies what a compressed source holds to a file.
static int copy_unpacked(struct carc_source *source, int copy) {
    struct archive *archive = carc.archive_read_new();
    struct archive_entry *entry;
    if (!archive) {
        errno = ENOMEM;
        return -1;
    }
    int code = -1;
    if (carc.archive_read_support_filter_all(archive) >= ARCHIVE_WARN &&
        carc.archive_read_support_format_raw(archive) >= ARCHIVE_WARN &&
        carc_source_begin(source, archive) >= ARCHIVE_WARN &&
        carc.archive_read_next_header(archive, &entry) >= ARCHIVE_WARN) {
        const void *bytes;
        size_t count;
        la_int64_t offset;
        while ((code = carc.archive_read_data_block(archive, &bytes, &count, &offset)) == ARCHIVE_OK) {
            if (put_all(copy, bytes, count) != 0) break;
        }
        code = code == ARCHIVE_EOF ? 0 : -1;
        if (code != 0 && carc.archive_errno(archive) != 0) errno = carc.archive_errno(archive);
    }
    int error = errno;
    carc.archive_read_free(archive);
    errno = error;
    return code;
}

static void drop_gunzip(struct carc_source *source) {
    carc_gunzip_free(source->gunzip);
    free(source->unpacked);
    source->gunzip = NULL;
    source->unpacked = NULL;
}

int carc_source_unpack(struct carc_source *source) {
    FILE *copy = tmpfile();
    if (!copy) return -1;
    if (copy_unpacked(source, fileno(copy)) != 0 || lseek(fileno(copy), 0, SEEK_SET) != 0) {
        int error = errno;
        fclose(copy);
        errno = error;
        return -1;
    }
    if (source->copy) fclose(source->copy);
    if (source->is_owned) close(source->file);
    source->copy = copy;
    source->file = fileno(copy);
    source->is_owned = 0;
    source->head_count = 0;
    drop_gunzip(source);
    return look(source);
}

struct carc_source *carc_source_open(const char *path, int descriptor) {
    struct carc_source *source = calloc(1, sizeof *source);
    if (!source) return NULL;
    source->file = path ? open(path, O_RDONLY | O_CLOEXEC) : descriptor;
    source->is_owned = path != NULL;
    source->buffer = malloc(BLOCK);
    if (source->file >= 0 && source->buffer && look(source) == 0) return source;
    int error = source->buffer ? errno : ENOMEM;
    carc_source_close(source);
    errno = error;
    return NULL;
}

void carc_source_close(struct carc_source *source) {
    if (source->copy) fclose(source->copy);
    if (source->is_owned && source->file >= 0) close(source->file);
    carc_zip_free(&source->zip);
    drop_gunzip(source);
    free(source->buffer);
    free(source);
}

// The next piece of the file as it is. Returns its bytes, 0 at the end, or -1 with errno.
static ssize_t next_piece(void *data, const char **bytes) {
    struct carc_source *source = data;
    if (!source->is_seekable && source->position == 0 && source->head_count > 0) {
        *bytes = source->head;
        source->position = source->head_count;
        return (ssize_t)source->head_count;
    }
    ssize_t count = read_some(source->file, source->buffer, BLOCK);
    if (count < 0) return -1;
    carc_zip_patch(&source->zip, source->buffer, (size_t)count, source->position);
    source->position += (uint64_t)count;
    *bytes = source->buffer;
    return count;
}

// The same, or what it holds where it is compressed by gzip. With -1, *why is what is wrong.
static ssize_t next_plain(struct carc_source *source, const char **bytes, const char **why) {
    *why = NULL;
    ssize_t count;
    if (source->gunzip) {
        *bytes = source->unpacked;
        count = carc_gunzip_read(source->gunzip, source->unpacked, BLOCK, next_piece, source, why);
        source->wrong = *why;
    } else {
        count = next_piece(source, bytes);
    }
    if (count < 0 && !*why) *why = strerror(errno);
    return count;
}

static la_ssize_t give(struct archive *archive, void *data, const void **bytes) {
    const char *piece, *why;
    ssize_t count = next_plain(data, &piece, &why);
    if (count < 0) carc.archive_set_error(archive, EIO, "%s", why);
    *bytes = piece;
    return count;
}

const char *carc_source_wrong(const struct carc_source *source) { return source->wrong; }

const char *carc_source_finish(struct carc_source *source) {
    const char *piece, *why = NULL;
    while (source->gunzip && next_plain(source, &piece, &why) > 0) {}
    return why;
}

uint64_t carc_source_bytes(const struct carc_source *source, struct archive *archive) {
    return source->gunzip ? source->position : (uint64_t)carc.archive_filter_bytes(archive, -1);
}

static la_int64_t seek(struct archive *archive, void *data, la_int64_t offset, int whence) {
    struct carc_source *source = data;
    off_t place = lseek(source->file, (off_t)offset, whence);
    if (place < 0) {
        carc.archive_set_error(archive, errno, "%s", strerror(errno));
        return ARCHIVE_FATAL;
    }
    source->position = (uint64_t)place;
    return place;
}

static la_int64_t skip(struct archive *archive, void *data, la_int64_t count) {
    (void)archive;
    struct carc_source *source = data;
    // Not behind the end, which is for a read to find.
    off_t end = lseek(source->file, 0, SEEK_END);
    uint64_t left = end >= 0 && (uint64_t)end > source->position ? (uint64_t)end - source->position : 0;
    uint64_t step = (uint64_t)count < left ? (uint64_t)count : left;
    // Its blocks stay whole.
    step -= step % BLOCK;
    if (lseek(source->file, (off_t)(source->position + step), SEEK_SET) < 0) return 0;
    source->position += step;
    return (la_int64_t)step;
}

int carc_source_begin(struct carc_source *source, struct archive *archive) {
    carc.archive_read_set_read_callback(archive, give);
    carc.archive_read_set_callback_data(archive, source);
    if (source->gunzip) carc_gunzip_reset(source->gunzip);
    if (source->is_seekable) {
        if (!source->gunzip) {
            carc.archive_read_set_seek_callback(archive, seek);
            carc.archive_read_set_skip_callback(archive, skip);
        }
        if (lseek(source->file, 0, SEEK_SET) != 0) return ARCHIVE_FATAL;
        source->position = 0;
    }
    return carc.archive_read_open1(archive);
}

int carc_source_is_seekable(const struct carc_source *source) { return source->is_seekable; }

int carc_source_needs_utf8(const struct carc_source *source) {
    if (is_tar(source)) return 0;
    return is_zip(source) || begins(source, "7z\274\257\047\034", 6) || begins(source, "xar!", 4) ||
           (source->head_count >= ISO_NAME + 5 && !memcmp(source->head + ISO_NAME, "CD001", 5));
}

const char *carc_source_name(const struct carc_source *source, const char *name) {
    return carc_zip_name(&source->zip, name);
}
