/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where a key may be in an array: its path. Bucket i of a path is home + i * step, modulo the number of buckets.
 *
 * The seeded mixing hash gives home, step and tag. A weak hash that the user chose only puts a bucket of its own before
 * that, in place of the last one; so keys that share it part right after: a weak hash costs probes, never the table.
 * Home is the top bits: with the same seed a larger array keeps the order, and growing
 * walks both arrays from front to back.
 */
#ifndef BID_HASH_H
#define BID_HASH_H

#include "table.h"

struct bid_path {
    uint64_t bucket;
    uint64_t mixed;   /* the mixing hash's value: its top bits are the home bucket */
    uint64_t step;    /* made odd, so that the buckets of a path differ */
    uint64_t pattern; /* the tag, where a slot word has it */
    int weak;         /* this is the bucket that a weak hash gives; the home bucket comes next */
};

/* Multiply, fold, multiply: every bit of the key reaches the top half, and the seed enters before both products. The
 * constants are the fractional parts of the golden ratio and of sqrt(3), made odd. */
static inline uint64_t bid_mix(uint64_t key, uint64_t seed)
{
    uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15ull;
    x ^= x >> 32;
    return x * 0xbb67ae8584caa73bull;
}

/* The first bucket under a hash that the user chose. */
static inline uint64_t bid_weak_bucket(const struct bid_array *array, uint64_t key)
{
    if (array->hash == BID_HASH_MIDDLE_BITS)
        return key >> array->hash_shift & array->bucket_mask;
    key ^= key >> 32;
    key ^= key >> 16;
    return (key ^ key >> 8) & array->bucket_mask;
}

/* The path of a key under the mixing hash, whose value is `mixed`. Only the upper half of that depends on every bit of the
 * key; so step and tag come from the lower half with the upper one folded into it. */
static inline struct bid_path bid_path_mixed(const struct bid_array *array, uint64_t mixed)
{
    uint64_t folded = mixed ^ mixed >> 32;
    return (struct bid_path){
        .bucket = mixed >> array->home_shift,
        .mixed = mixed,
        .step = folded,
        .pattern = folded << BID_TAG_SHIFT | BID_TAG_ONE,
    };
}

static inline struct bid_path bid_path(const struct bid_array *array, uint64_t key)
{
    struct bid_path path = bid_path_mixed(array, bid_mix(key, array->seed));
    path.weak = array->hash != BID_HASH_MIX;
    if (__builtin_expect(path.weak, 0))
        path.bucket = bid_weak_bucket(array, key);
    return path;
}

static inline bid_word *bid_bucket(const struct bid_array *array, const struct bid_path *path)
{
    return array->slots + path->bucket * BID_BUCKET_SLOTS;
}

static inline void bid_path_next(const struct bid_array *array, struct bid_path *path)
{
    path->bucket = path->weak ? path->mixed >> array->home_shift : path->bucket + (path->step | 1);
    path->bucket &= array->bucket_mask;
    path->weak = 0;
}

#endif
