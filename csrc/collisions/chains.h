/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How keys spread over the chains of a hash table with a fixed number of buckets. It judges a hash and a number of
 * buckets for given inodes. The mixing hash is the table's code (table/hash.h), not a copy of it. The other hashes have
 * no seed; they were proposed for tables of fixed buckets.
 *
 * Context: thread, for all functions here. Progress: wait-free. Memory: none but the caller's.
 */
#ifndef BID_CHAINS_H
#define BID_CHAINS_H

#include "../table/hash.h"

enum bid_chain_kind {
    BID_CHAIN_MIX = 0,         /* the table's: two multiplications and a seed */
    BID_CHAIN_MIDDLE_BITS = 1, /* address >> shift, as Al Viro proposed: good near log2 of the inode's size */
    BID_CHAIN_XOR_FOLD = 2,    /* the address xor-folded: no multiplication */
    BID_CHAIN_FIBONACCI = 3,   /* one multiplication by 2^64 divided by the golden ratio, of which the top bits count
                                  (Knuth, The Art of Computer Programming, volume 3, section 6.4) */
};

struct bid_chain_hash {
    uint32_t kind;  /* enum bid_chain_kind */
    uint32_t shift; /* for BID_CHAIN_MIDDLE_BITS: 0 to 63 */
    uint64_t seed;  /* for BID_CHAIN_MIX */
};

/* The top bits: value * buckets / 2^64. */
static inline uint64_t bid_top_part(uint64_t value, uint64_t buckets)
{
    return (uint64_t)((unsigned __int128)value * buckets >> 64);
}

/* The chain of a key, below `buckets`, which is any number but 0. For a power of two the reductions are the top bits of
 * a multiplicative hash, and the low bits of the others. */
static inline uint64_t bid_chain_of(const struct bid_chain_hash *hash, uint64_t key, uint64_t buckets)
{
    if (hash->kind == BID_CHAIN_MIX)
        return bid_top_part(bid_mix(key, hash->seed), buckets);
    if (hash->kind == BID_CHAIN_FIBONACCI)
        return bid_top_part(key * 0x9e3779b97f4a7c15ull, buckets);
    if (hash->kind == BID_CHAIN_MIDDLE_BITS)
        return (key >> hash->shift) % buckets;
    key ^= key >> 32;
    key ^= key >> 16;
    return (key ^ key >> 8) % buckets;
}

/* Adds the chain lengths of n keys to lengths[buckets]; any number of buckets but 0.
 * Returns: the longest chain. */
uint32_t bid_chain_lengths(const struct bid_chain_hash *hash, const uint64_t *keys, size_t n, uint64_t buckets,
                           uint32_t *lengths);

/* Adds the number of chains of each length to histogram[longest + 1]; no chain may be longer than that. */
void bid_chain_histogram(const uint32_t *lengths, uint64_t buckets, uint64_t *histogram);

#endif
