// What a gzip file holds, with each member's checksum and length compared (RFC 1952). libarchive's own filter
// passes over both, and would give a damaged file's bytes for good ones.
#ifndef CARC_GUNZIP_H
#define CARC_GUNZIP_H

#include <stddef.h>
#include <sys/types.h>

struct carc_gunzip;

// Whether a file begins as gzip does.
int carc_gunzip_is(const char *head, size_t count);

// NULL where there is no memory.
struct carc_gunzip *carc_gunzip_new(void);
void carc_gunzip_free(struct carc_gunzip *gunzip);
// Begins anew, with the first byte of the file.
void carc_gunzip_reset(struct carc_gunzip *gunzip);

// Gives up to count bytes of what was compressed; next gives what follows of the file, 0 at its end, or -1
// with errno. Members that follow each other are one, and what is behind the last and begins none is passed
// over, as gzip(1) does. Returns 0 at the end, or -1: with *why what is wrong with the file, or NULL where next
// failed.
ssize_t carc_gunzip_read(struct carc_gunzip *gunzip, char *bytes, size_t count,
                         ssize_t (*next)(void *data, const char **bytes), void *data, const char **why);

#endif
