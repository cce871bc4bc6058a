#include "carc_zip.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Source: PKWARE, APPNOTE.TXT, 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end),
// 4.4.4 (flags); Info-ZIP, extrafld.txt (0x7075).
enum {
    LOCAL = 30,
    CENTRAL = 46,
    END = 22,
    LOCATOR = 20,
    END64 = 56,
    MOST_COMMENT = 65535,
    UNICODE_PATH = 0x7075,
    // Bit 11 of the flags, in the upper of their bytes.
    UTF8_BIT = 0x08,
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static int read_at(int file, void *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t done = pread(file, bytes, count, (off_t)offset);
        if (done <= 0) return -1;
        bytes = (char *)bytes + done;
        count -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

static int add_patch(struct carc_zip *zip, uint64_t offset, uint8_t cleared) {
    if (zip->patch_count == zip->patch_room) {
        size_t room = zip->patch_room ? zip->patch_room * 2 : 64;
        struct carc_patch *more = realloc(zip->patches, room * sizeof *more);
        if (!more) return -1;
        zip->patches = more;
        zip->patch_room = room;
    }
    zip->patches[zip->patch_count++] = (struct carc_patch){offset, cleared};
    return 0;
}

static char *text(const uint8_t *bytes, size_t count) {
    char *made = malloc(count + 1);
    if (!made) return NULL;
    memcpy(made, bytes, count);
    made[count] = 0;
    return made;
}

static int add_rename(struct carc_zip *zip, const uint8_t *stored, size_t stored_count,
                      const uint8_t *meant, size_t meant_count) {
    if (zip->rename_count == zip->rename_room) {
        size_t room = zip->rename_room ? zip->rename_room * 2 : 16;
        struct carc_rename *more = realloc(zip->renames, room * sizeof *more);
        if (!more) return -1;
        zip->renames = more;
        zip->rename_room = room;
    }
    struct carc_rename *rename = &zip->renames[zip->rename_count];
    rename->stored = text(stored, stored_count);
    rename->meant = text(meant, meant_count);
    if (!rename->stored || !rename->meant) {
        free(rename->stored);
        free(rename->meant);
        return -1;
    }
    zip->rename_count++;
    return 0;
}

// The extra field of a kind. Returns where its content begins, or NULL.
static const uint8_t *find_extra(const uint8_t *extra, size_t count, unsigned kind, size_t *size) {
    for (size_t at = 0; at + 4 <= count;) {
        size_t length = get16(extra + at + 2);
        if (at + 4 + length > count) return NULL;
        if (get16(extra + at) == kind) {
            *size = length;
            return extra + at + 4;
        }
        at += 4 + length;
    }
    return NULL;
}

// The checksum of a name, by which its extra field says which name it is of.
static uint32_t crc(const uint8_t *bytes, size_t count) {
    uint32_t value = 0xFFFFFFFF;
    for (size_t i = 0; i < count; i++) {
        value ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xEDB88320 : 0);
    }
    return ~value;
}

// Keeps the name's extra field from libarchive, which would change what it says: in the local header, where
// its kind becomes one that nobody knows.
static int hide_extra(struct carc_zip *zip, int file, uint64_t local) {
    uint8_t header[LOCAL];
    if (read_at(file, header, LOCAL, local) != 0) return 0;
    size_t name = get16(header + 26), count = get16(header + 28);
    uint8_t *extra = malloc(count + 1);
    if (!extra) return -1;
    int code = 0;
    if (read_at(file, extra, count, local + LOCAL + name) == 0) {
        size_t size;
        const uint8_t *found = find_extra(extra, count, UNICODE_PATH, &size);
        // 0x7075 without this bit is 0x5075.
        if (found) code = add_patch(zip, local + LOCAL + name + (uint64_t)(found - extra) - 3, 0x20);
    }
    free(extra);
    return code;
}

static int take_entry(struct carc_zip *zip, int file, const uint8_t *entry, uint64_t at,
                      uint64_t shift) {
    size_t name_count = get16(entry + 28), extra_count = get16(entry + 30);
    const uint8_t *name = entry + CENTRAL, *extra = name + name_count;
    uint64_t local = get32(entry + 42);
    size_t size;
    if (local == 0xFFFFFFFF) {
        // Of the 64-bit fields those are there that do not fit: two sizes come first.
        const uint8_t *large = find_extra(extra, extra_count, 1, &size);
        size_t skipped = (get32(entry + 24) == 0xFFFFFFFF) * 8 + (get32(entry + 20) == 0xFFFFFFFF) * 8;
        if (!large || size < skipped + 8) return 0;
        local = get64(large + skipped);
    }
    local += shift;
    if (entry[9] & UTF8_BIT) {
        if (add_patch(zip, at + 9, UTF8_BIT) != 0 || add_patch(zip, local + 7, UTF8_BIT) != 0) return -1;
    }
    const uint8_t *path = find_extra(extra, extra_count, UNICODE_PATH, &size);
    if (!path || size <= 5) return 0;
    if (hide_extra(zip, file, local) != 0) return -1;
    // Version 1, and of this name.
    if (path[0] != 1 || get32(path + 1) != crc(name, name_count)) return 0;
    if (size - 5 == name_count && !memcmp(path + 5, name, name_count)) return 0;
    return add_rename(zip, name, name_count, path + 5, size - 5);
}

static int by_offset(const void *a, const void *b) {
    const struct carc_patch *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_stored(const void *a, const void *b) {
    return strcmp(((const struct carc_rename *)a)->stored, ((const struct carc_rename *)b)->stored);
}

int carc_zip_read(struct carc_zip *zip, int file, uint64_t size) {
    size_t tail = size < END + MOST_COMMENT ? (size_t)size : END + MOST_COMMENT;
    uint8_t *end = malloc(tail + 1), *directory = NULL;
    if (!end) return -1;
    int code = 0;
    if (tail < END || read_at(file, end, tail, size - tail) != 0) goto done;
    size_t at = tail - END;
    while (memcmp(end + at, "PK\5\6", 4) != 0) {
        if (at-- == 0) goto done;
    }
    uint64_t end_offset = size - tail + at;
    uint64_t count = get32(end + at + 12), start = get32(end + at + 16);
    uint8_t locator[LOCATOR], large[END64];
    if (end_offset >= LOCATOR && read_at(file, locator, LOCATOR, end_offset - LOCATOR) == 0 &&
        !memcmp(locator, "PK\6\7", 4) && read_at(file, large, END64, get64(locator + 8)) == 0 &&
        !memcmp(large, "PK\6\6", 4)) {
        count = get64(large + 40);
        start = get64(large + 48);
        end_offset = get64(locator + 8);
    }
    // What stands in front of it, such as a program that unpacks it, is not counted.
    if (count > end_offset || start > end_offset - count || count > SIZE_MAX / 2) goto done;
    uint64_t shift = end_offset - count - start;
    directory = malloc((size_t)count + 1);
    if (!directory) {
        code = -1;
        goto done;
    }
    if (read_at(file, directory, (size_t)count, start + shift) != 0) goto done;
    for (uint64_t place = 0; code == 0 && place + CENTRAL <= count;) {
        const uint8_t *entry = directory + place;
        if (memcmp(entry, "PK\1\2", 4) != 0) break;
        uint64_t length = CENTRAL + get16(entry + 28) + get16(entry + 30) + get16(entry + 32);
        if (place + length > count) break;
        code = take_entry(zip, file, entry, start + shift + place, shift);
        place += length;
    }
    if (zip->patch_count > 1) qsort(zip->patches, zip->patch_count, sizeof *zip->patches, by_offset);
    if (zip->rename_count > 1) qsort(zip->renames, zip->rename_count, sizeof *zip->renames, by_stored);
done:
    free(end);
    free(directory);
    return code;
}

void carc_zip_free(struct carc_zip *zip) {
    for (size_t i = 0; i < zip->rename_count; i++) {
        free(zip->renames[i].stored);
        free(zip->renames[i].meant);
    }
    free(zip->renames);
    free(zip->patches);
}

void carc_zip_patch(const struct carc_zip *zip, char *bytes, size_t count, uint64_t offset) {
    size_t low = 0, high = zip->patch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zip->patches[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < zip->patch_count && zip->patches[low].offset - offset < count; low++) {
        char *byte = bytes + (zip->patches[low].offset - offset);
        *byte = (char)(*byte & ~zip->patches[low].cleared);
    }
}

const char *carc_zip_name(const struct carc_zip *zip, const char *stored) {
    if (zip->rename_count == 0) return stored;
    struct carc_rename wanted = {(char *)stored, NULL};
    const struct carc_rename *found =
        bsearch(&wanted, zip->renames, zip->rename_count, sizeof wanted, by_stored);
    return found ? found->meant : stored;
}
