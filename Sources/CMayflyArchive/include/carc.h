// Trees as streams of entries: directories and archives, read and written with libarchive.
//
// One thread at a time for each reader or writer. Names are bytes, not text.
#ifndef CARC_H
#define CARC_H

#include <stddef.h>
#include <stdint.h>

// One entry. Pointers are valid until the next one is read.
struct carc_entry {
    // As the source has it; of a directory that is read, relative to it, "" for itself.
    const char *path;
    // The path of an earlier entry that this is another name of, or NULL.
    const char *hardlink;
    const char *symlink;
    uint32_t mode, uid, gid;
    // Inode flags, as FS_IOC_GETFLAGS has them.
    uint32_t flags;
    uint32_t major, minor;
    // 0 where the size is not known before the data.
    uint64_t size;
    int64_t seconds;
    uint32_t nanoseconds;
    // Of what is read from a disk: where it lies there, and when its inode was changed last; else 0.
    uint64_t disk, inode;
    int64_t change_seconds;
    uint32_t change_nanoseconds;
    // Whether it may not be opened: it has a path and a mode alone, and carc_error says why.
    int unreadable;
};

struct carc_reader;

// Opens a directory, whose entries come sorted by their names' bytes, parents before what is in
// them. With one_device mounts in it are left out. NULL with errno.
struct carc_reader *carc_read_directory(const char *path, int one_device);

// Opens what is no directory, as a tree of one entry of that name. A link is not followed. NULL with errno.
struct carc_reader *carc_read_file(const char *path, const char *name);

// Opens an archive in any form that libarchive knows: a file, or a descriptor with path NULL. NULL
// with errno, ELIBACC where libarchive cannot be loaded; what is no archive is found at the first entry.
struct carc_reader *carc_read_archive(const char *path, int descriptor);

void carc_close(struct carc_reader *reader);

// Reads the next entry. Returns 1, 0 at the end, -1 when it cannot be read (carc_error).
int carc_next(struct carc_reader *reader, struct carc_entry *entry);

// Has what may not be opened in a directory be an entry, which is an error of carc_next otherwise.
void carc_tell_unreadable(struct carc_reader *reader);

// Leaves out what lies in the directory that was read last: it is not even looked into.
void carc_pass_over(struct carc_reader *reader);

// The next piece of the entry's content; what is between the pieces is a hole. Returns 1, 0 at the
// end, -1 on failure.
int carc_data(struct carc_reader *reader, const void **bytes, size_t *count, uint64_t *offset);

// The entry's next extended attribute, access lists not among them. Returns 1 or 0.
int carc_xattr(struct carc_reader *reader, const char **name, const void **value, size_t *count);

// The entry's access list, or with is_default that for new files in a directory, in the form of the
// extended attribute system.posix_acl_access. Returns its bytes, 0 where there is none.
size_t carc_acl(struct carc_reader *reader, int is_default, uint8_t *bytes, size_t capacity);
// Whether that left out entries of users and groups whom this machine does not know; once.
int carc_take_unknown(struct carc_reader *reader);

// What went wrong last, in one line.
const char *carc_error(struct carc_reader *reader);

// Bytes that were read of the source so far, before decompression.
uint64_t carc_bytes_read(struct carc_reader *reader);

struct carc_writer;

// Begins a tar archive (pax) on a descriptor, compressed by one of libarchive's filters, or with filter NULL
// as it is. NULL with errno, ELIBACC where libarchive cannot be loaded.
struct carc_writer *carc_write_tar(int descriptor, const char *filter);

// Begins an entry. Extended attributes, access lists and stretches of data come before `begun`.
int carc_entry_set(struct carc_writer *writer, const struct carc_entry *entry);
int carc_entry_xattr(struct carc_writer *writer, const char *name, const void *value, size_t count);
int carc_entry_acl(struct carc_writer *writer, int is_default, const uint8_t *bytes, size_t count);
int carc_entry_extent(struct carc_writer *writer, uint64_t offset, uint64_t count);
int carc_entry_begun(struct carc_writer *writer);

// Writes content in its order, without the holes that the stretches leave.
int carc_write(struct carc_writer *writer, const void *bytes, uint64_t count);

// Ends the archive and frees the writer. Returns 0, or -1 when not all could be written.
int carc_finish(struct carc_writer *writer);

const char *carc_writer_error(struct carc_writer *writer);

#endif
