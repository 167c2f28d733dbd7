/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How keys spread over the chains of a hash table with a fixed number of buckets: what a hash and a number of buckets
 * are worth for given inodes. The table's own hashes are the table's code (table/hash.h), not a copy of it.
 *
 * Context: thread, for all functions here. Progress: wait-free. Memory: none but the caller's.
 */
#ifndef BID_CHAINS_H
#define BID_CHAINS_H

#include "pybuildid.h"

/* Beside the hashes of enum bid_hash: one multiplication by 2^64 divided by the golden ratio, of which the top bits
 * count (Knuth, The Art of Computer Programming, volume 3, section 6.4). No seed. */
enum { BID_CHAIN_FIBONACCI = 100 };

struct bid_chain_hash {
    uint32_t hash;  /* enum bid_hash or BID_CHAIN_FIBONACCI */
    uint32_t shift; /* for BID_HASH_MIDDLE_BITS: 0 to 63 */
    uint64_t seed;  /* for BID_HASH_MIX */
};

/* Adds the chain lengths of n keys to lengths[buckets]; any number of buckets but 0.
 * Returns: the longest chain. */
uint32_t bid_chain_lengths(const struct bid_chain_hash *hash, const uint64_t *keys, size_t n, uint64_t buckets,
                           uint32_t *lengths);

/* Adds the number of chains of each length to histogram[longest + 1]; no chain may be longer than that. */
void bid_chain_histogram(const uint32_t *lengths, uint64_t buckets, uint64_t *histogram);

#endif
