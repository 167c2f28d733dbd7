/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Keys that collide, for tables of a known seed: the table's hash backwards. */
#ifndef STRESS_UNMIX_H
#define STRESS_UNMIX_H

#include "table/hash.h"

/* Newton's iteration: each turn doubles the number of right bits, of which an odd number has three at once. */
static inline uint64_t unmix_inverse(uint64_t odd)
{
    uint64_t found = odd;
    for (int turn = 0; turn < 5; turn++)
        found *= 2 - odd * found;
    return found;
}

/* The key whose hash is `mixed`: bid_mix() backwards. */
static inline uint64_t unmix(uint64_t mixed, uint64_t seed)
{
    uint64_t x = mixed * unmix_inverse(0xbb67ae8584caa73bull);
    x ^= x >> 32;
    return x * unmix_inverse(0x9e3779b97f4a7c15ull) ^ seed;
}

#endif
