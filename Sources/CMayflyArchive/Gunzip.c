#include "carc_gunzip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct carc_gunzip {
    z_stream stream;
    // Between two members, where either another begins or the file is at its end.
    int is_between, is_at_end;
};

int carc_gunzip_is(const char *head, size_t count) {
    return count >= 3 && !memcmp(head, "\037\213\010", 3);
}

struct carc_gunzip *carc_gunzip_new(void) {
    struct carc_gunzip *gunzip = calloc(1, sizeof *gunzip);
    // 16: gzip's own header and trailer, which are compared.
    if (gunzip && inflateInit2(&gunzip->stream, MAX_WBITS + 16) == Z_OK) return gunzip;
    free(gunzip);
    return NULL;
}

void carc_gunzip_free(struct carc_gunzip *gunzip) {
    if (!gunzip) return;
    inflateEnd(&gunzip->stream);
    free(gunzip);
}

void carc_gunzip_reset(struct carc_gunzip *gunzip) {
    inflateReset(&gunzip->stream);
    gunzip->stream.avail_in = 0;
    gunzip->is_between = gunzip->is_at_end = 0;
}

// One more piece of the file. Returns as next does.
static ssize_t take(struct carc_gunzip *gunzip, ssize_t (*next)(void *, const char **), void *data) {
    const char *bytes;
    ssize_t count = next(data, &bytes);
    gunzip->stream.next_in = (Bytef *)bytes;
    gunzip->stream.avail_in = count > 0 ? (uInt)count : 0;
    return count;
}

// Whether another member begins here. One byte of its mark may be the last of a piece, so the second is
// left for inflate(3) to look at.
static int begins_another(struct carc_gunzip *gunzip) {
    if (*gunzip->stream.next_in != 0x1f) return 0;
    inflateReset(&gunzip->stream);
    gunzip->is_between = 0;
    return 1;
}

ssize_t carc_gunzip_read(struct carc_gunzip *gunzip, char *bytes, size_t count,
                         ssize_t (*next)(void *data, const char **bytes), void *data, const char **why) {
    z_stream *stream = &gunzip->stream;
    *why = NULL;
    stream->next_out = (Bytef *)bytes;
    stream->avail_out = (uInt)count;
    while (stream->avail_out > 0 && !gunzip->is_at_end) {
        if (stream->avail_in == 0) {
            ssize_t taken = take(gunzip, next, data);
            if (taken < 0) return -1;
            if (taken == 0 && gunzip->is_between) gunzip->is_at_end = 1;
            else if (taken == 0) {
                *why = "truncated gzip data";
                return -1;
            }
            continue;
        }
        if (gunzip->is_between && !begins_another(gunzip)) {
            gunzip->is_at_end = 1;
            continue;
        }
        switch (inflate(stream, Z_NO_FLUSH)) {
        case Z_OK:
        case Z_BUF_ERROR: break;
        case Z_STREAM_END: gunzip->is_between = 1; break;
        case Z_MEM_ERROR: *why = "there is no memory to unpack it"; return -1;
        default: *why = "its gzip data is damaged"; return -1;
        }
    }
    return (ssize_t)(count - stream->avail_out);
}
