/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where a key may be in an array: its path. Bucket i of a path is home + i * step, modulo the number of buckets.
 *
 * The options choose the home bucket only. The step and the tag always come from the seeded mixing hash, so that keys
 * that share a home under a weak hash part at the next bucket: a weak hash costs probes, never the table.
 * For the mixing hash, home is the top bits: with the same seed an array twice as large keeps the order, and a resize
 * walks both arrays from front to back.
 */
#ifndef BID_HASH_H
#define BID_HASH_H

#include "table.h"

struct bid_path {
    uint64_t bucket;
    uint64_t step;    /* made odd, so that the buckets of a path differ */
    uint64_t pattern; /* the tag, where a slot word has it */
};

/* Multiply, fold, multiply: every bit of the key reaches the top half, and the seed enters before both products. The
 * constants are the fractional parts of the golden ratio and of sqrt(3), made odd. */
static inline uint64_t bid_mix(uint64_t key, uint64_t seed)
{
    uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15ull;
    x ^= x >> 32;
    return x * 0xbb67ae8584caa73bull;
}

/* The home bucket under a hash that the user chose. */
static inline uint64_t bid_home_weak(const struct bid_array *array, uint64_t key)
{
    if (array->hash == BID_HASH_MIDDLE_BITS)
        return key >> array->hash_shift & array->bucket_mask;
    key ^= key >> 32;
    key ^= key >> 16;
    return (key ^ key >> 8) & array->bucket_mask;
}

static inline struct bid_path bid_path(const struct bid_array *array, uint64_t key)
{
    uint64_t mixed = bid_mix(key, array->seed);
    struct bid_path path = {mixed >> array->home_shift, mixed, (mixed << BID_TAG_SHIFT & BID_TAG_MASK) | BID_TAG_ONE};
    if (__builtin_expect(array->hash != BID_HASH_MIX, 0))
        path.bucket = bid_home_weak(array, key);
    return path;
}

static inline bid_word *bid_bucket(const struct bid_array *array, const struct bid_path *path)
{
    return array->slots + path->bucket * BID_BUCKET_SLOTS;
}

static inline void bid_path_next(const struct bid_array *array, struct bid_path *path)
{
    path->bucket = (path->bucket + (path->step | 1)) & array->bucket_mask;
}

#endif
