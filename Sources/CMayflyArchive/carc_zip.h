// What of a zip archive is to be read otherwise than it stands, so that names stay as they are.
#ifndef CARC_ZIP_H
#define CARC_ZIP_H

#include <stddef.h>
#include <stdint.h>

// Bits of one byte to be cleared.
struct carc_patch {
    uint64_t offset;
    uint8_t cleared;
};

// A name as its header has it, and as its extra field has it in UTF-8.
struct carc_rename {
    char *stored, *meant;
};

struct carc_zip {
    struct carc_patch *patches;
    size_t patch_count, patch_room;
    struct carc_rename *renames;
    size_t rename_count, rename_room;
};

// Reads the central directory of a seekable file. Where there is none, or a wrong one, nothing is to be
// changed, and libarchive says what is wrong. Returns 0, or -1 where there is no memory.
int carc_zip_read(struct carc_zip *zip, int file, uint64_t size);
void carc_zip_free(struct carc_zip *zip);

// Changes bytes that were read from an offset.
void carc_zip_patch(const struct carc_zip *zip, char *bytes, size_t count, uint64_t offset);
const char *carc_zip_name(const struct carc_zip *zip, const char *stored);

#endif
