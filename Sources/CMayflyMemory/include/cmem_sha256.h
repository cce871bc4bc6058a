// SHA-256, by which images and layers are known.
#ifndef CMEM_SHA256_H
#define CMEM_SHA256_H

#include <stddef.h>
#include <stdint.h>

// A digest that is being taken. To be begun before anything is added.
struct cmem_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t rest[64];
};

void cmem_sha256_begin(struct cmem_sha256 *sum);

void cmem_sha256_add(struct cmem_sha256 *sum, const void *bytes, size_t count);

// Stores the digest of all that was added. The sum is to be begun anew after that.
// Source: FIPS 180-4, 6.2.
void cmem_sha256_end(struct cmem_sha256 *sum, uint8_t digest[32]);

#endif
