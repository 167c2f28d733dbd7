/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the rivals share: how a build ID is stored, a hash, and the rest of a lookup when its entry is found. */
#ifndef RIVAL_RECORD_H
#define RIVAL_RECORD_H

#include "rivals.h"

#include <stdint.h>
#include <string.h>

struct rival_record {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW]; /* zero-padded */
};

static inline int rival_accepts(const void *id, size_t length)
{
    return length > BID_ID_NARROW ? BID_E_ID_LENGTH : length && !id ? BID_E_NULL : BID_OK;
}

static inline void rival_fill(struct rival_record *record, uint32_t generation, const void *id, size_t length)
{
    memset(record, 0, sizeof *record);
    record->generation = generation;
    record->length = (uint8_t)length;
    if (length)
        memcpy(record->bytes, id, length);
}

/* The answer that a record gives. */
static inline int rival_answer(const struct rival_record *record, struct bid_build_id *id)
{
    id->generation = record->generation;
    id->length = record->length;
    memcpy(id->bytes, record->bytes, sizeof record->bytes);
    return record->length ? BID_OK : BID_NO_BUILD_ID;
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
