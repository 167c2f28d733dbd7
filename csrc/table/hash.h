/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where a key may be in an array: its probe sequence of at most BID_SEQUENCE_BUCKETS buckets.
 *
 * The seeded mixing hash, times the number of buckets, is a number of 128 bits. Its upper half is the home bucket: with
 * the same seed a larger array keeps the order, and growing walks both arrays from front to back. Its lower half is
 * where in that bucket's share the hash lies, and gives the tag. The step is odd, and the number of buckets a multiple
 * of BID_SEQUENCE_BUCKETS, a power of two: so the buckets of a sequence differ.
 */
#ifndef BID_HASH_H
#define BID_HASH_H

#include "table.h"

/* Multiply, fold, multiply: every bit of the key reaches the top half, and the seed enters before both products. The
 * constants are the fractional parts of the golden ratio and of sqrt(3), made odd. */
static inline uint64_t bid_mix(uint64_t key, uint64_t seed)
{
    uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15ull;
    x ^= x >> 32;
    return x * 0xbb67ae8584caa73bull;
}

struct bid_product {
    uint64_t high, low;
};

/* Of 64 bits and at most 32. */
static inline struct bid_product bid_multiply(uint64_t value, uint64_t buckets)
{
#if defined(__SIZEOF_INT128__) && !defined(BID_PLATFORM_MODEL) && !defined(__bpf__)
    return (struct bid_product){(uint64_t)((unsigned __int128)value * buckets >> 64), value * buckets};
#else
    uint64_t low = (value & UINT32_MAX) * buckets, high = (value >> 32) * buckets + (low >> 32);
    return (struct bid_product){high >> 32, high << 32 | (low & UINT32_MAX)};
#endif
}

struct bid_sequence {
    uint64_t bucket;
    uint32_t tag;
};

/* `mixed`: the value of the mixing hash. */
static inline struct bid_sequence bid_sequence_mixed(uint64_t mixed, uint64_t buckets)
{
    struct bid_product product = bid_multiply(mixed, buckets);
    return (struct bid_sequence){product.high,
                                 (uint32_t)(product.low >> (BID_TAG_SHIFT + 1) | BID_TAG_ONE >> BID_TAG_SHIFT)};
}

static inline struct bid_sequence bid_sequence(const struct bid_array *array, uint64_t key)
{
    return bid_sequence_mixed(bid_mix(key, array->seed), array->buckets);
}

/* Only the upper half of the hash depends on every bit of the key, and the home bucket is that; so the step comes from
 * the lower half with the upper one folded into it. */
static inline uint64_t bid_step(uint64_t mixed, uint64_t buckets)
{
    return bid_multiply((mixed ^ mixed >> 32) << 32, buckets).high | 1;
}

static inline uint64_t bid_bucket_next(uint64_t bucket, uint64_t step, uint64_t buckets)
{
    bucket += step;
    return bucket < buckets ? bucket : bucket - buckets;
}

#endif
