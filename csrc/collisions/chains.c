/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * For a power of two of buckets the reductions below are those of the table: the top bits of a multiplicative hash,
 * the low bits of the others. Other numbers of buckets get their nearest relatives.
 */
#include "chains.h"

#include "../table/hash.h"

/* The top bits: value * buckets / 2^64. */
static uint64_t top_part(uint64_t value, uint64_t buckets)
{
    return (uint64_t)((unsigned __int128)value * buckets >> 64);
}

static uint64_t chain_of(const struct bid_chain_hash *hash, const struct bid_array *all_bits, uint64_t key,
                         uint64_t buckets)
{
    if (hash->hash == BID_HASH_MIX)
        return top_part(bid_mix(key, hash->seed), buckets);
    if (hash->hash == BID_CHAIN_FIBONACCI)
        return top_part(key * 0x9e3779b97f4a7c15ull, buckets);
    return bid_weak_bucket(all_bits, key) % buckets;
}

uint32_t bid_chain_lengths(const struct bid_chain_hash *hash, const uint64_t *keys, size_t n, uint64_t buckets,
                           uint32_t *lengths)
{
    struct bid_array all_bits = {.bucket_mask = ~0ull, .hash = hash->hash, .hash_shift = hash->shift};
    uint32_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t length = ++lengths[chain_of(hash, &all_bits, keys[i], buckets)];
        if (length > longest)
            longest = length;
    }
    return longest;
}

void bid_chain_histogram(const uint32_t *lengths, uint64_t buckets, uint64_t *histogram)
{
    for (uint64_t i = 0; i < buckets; i++)
        histogram[lengths[i]]++;
}
