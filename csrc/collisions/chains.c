/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "chains.h"

uint32_t bid_chain_lengths(const struct bid_chain_hash *hash, const uint64_t *keys, size_t n, uint64_t buckets,
                           uint32_t *lengths)
{
    uint32_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t length = ++lengths[bid_chain_of(hash, keys[i], buckets)];
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
