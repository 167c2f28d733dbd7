/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where a key may be in an array: its path. Bucket i of a path is home + i * step, modulo the number of buckets.
 *
 * The seeded mixing hash gives home, step and tag. Home is the top bits: with the same seed a larger array keeps the
 * order, and growing walks both arrays from front to back.
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

/* The path of a key under the mixing hash, whose value is `mixed`. Only the upper half of that depends on every bit of
 * the key; so step and tag come from the lower half with the upper one folded into it. */
static inline struct bid_path bid_path_mixed(const struct bid_array *array, uint64_t mixed)
{
    uint64_t folded = mixed ^ mixed >> 32;
    return (struct bid_path){
        .bucket = mixed >> array->home_shift,
        .step = folded,
        .pattern = folded << BID_TAG_SHIFT | BID_TAG_ONE,
    };
}

static inline struct bid_path bid_path(const struct bid_array *array, uint64_t key)
{
    return bid_path_mixed(array, bid_mix(key, array->seed));
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
