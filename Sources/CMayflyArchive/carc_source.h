// The bytes of an archive, with what libarchive would do to names kept from it.
//
// libarchive has no way to give a name as it stands where a form states its encoding: names of pax and of
// zip are put into Unicode's form C on the way, so that of two files that differ in nothing else one is lost.
// Of tar it gives them as they stand where it cannot convert them, which in the C locale is so for all that
// are not ASCII. Of zip it does where the flag "this is UTF-8" is not set, so the flag is taken off while the
// archive is read.
#ifndef CARC_SOURCE_H
#define CARC_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct archive;
struct carc_source;

// Opens a file, or with path NULL takes a descriptor, which is not closed. NULL with errno.
struct carc_source *carc_source_open(const char *path, int descriptor);
void carc_source_close(struct carc_source *source);

// Has an archive read from it, from the beginning. Returns libarchive's code. Once only where it is not
// seekable.
int carc_source_begin(struct carc_source *source, struct archive *archive);
int carc_source_is_seekable(const struct carc_source *source);

// Whether names are converted in this form, so that the locale must know all characters. What is compressed
// is not seen through.
int carc_source_needs_utf8(const struct carc_source *source);

// What is wrong with what it holds, as far as that was read; or NULL.
const char *carc_source_wrong(const struct carc_source *source);

// Reads what is left, so that a checksum at the end is compared. Returns what is wrong, or NULL.
const char *carc_source_finish(struct carc_source *source);

// Bytes of the file that have been read.
uint64_t carc_source_bytes(const struct carc_source *source, struct archive *archive);

// Goes on with what a compressed file holds, of which a copy is made. Returns 0, or -1 with errno.
int carc_source_unpack(struct carc_source *source);

// The name that an entry of a zip has, where its extra field says another; else name.
const char *carc_source_name(const struct carc_source *source, const char *name);

#endif
