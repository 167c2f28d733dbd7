/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the rivals share: arguments checked, a hash, and the rest of a lookup when its entry is found. */
#ifndef RIVAL_RECORD_H
#define RIVAL_RECORD_H

#include "rivals.h"

#include <stdint.h>
#include <string.h>

static inline int rival_accepts(const void *id, size_t length, size_t most)
{
    return length > most ? BID_E_ID_LENGTH : length && !id ? BID_E_NULL : BID_OK;
}

/* The answer that an entry gives; bytes: the ID, in at least BID_ID_NARROW of them. */
static inline int rival_answer(uint32_t generation, uint8_t length, const uint8_t *bytes, struct bid_build_id *id)
{
    id->generation = generation;
    id->length = length;
    memcpy(id->bytes, bytes, BID_ID_NARROW);
    if (__builtin_expect(length > BID_ID_NARROW, 0))
        memcpy(id->bytes, bytes, length);
    return length ? BID_OK : BID_NO_BUILD_ID;
}

/* Two multiplications, as the table's own (csrc/table/hash.h): rivals are not to lose by their hash. */
static inline uint64_t rival_hash(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15ull;
    key ^= key >> 32;
    key *= 0xbb67ae8584caa73bull;
    return key ^ key >> 32;
}

/* lookup_generation() by means of a design's lookup. */
static inline int rival_lookup_generation(const struct bid_design *design, void *table, uint64_t key,
                                          uint32_t generation, struct bid_build_id *id)
{
    struct bid_build_id found;
    int status = design->lookup(table, key, &found, NULL);
    if (status != BID_OK && status != BID_NO_BUILD_ID)
        return status;
    if (found.generation != generation)
        return BID_STALE;
    *id = found;
    return status;
}

#endif
