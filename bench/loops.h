/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The loops over lookups, the same for each contender. Included by the contenders, with a lookup that the compiler can
 * see: it copies the whole ID out, and returns its first eight bytes, or 0 for an absent key.
 */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include "bench.h"

#include <string.h>

#define BENCH_INLINE static inline __attribute__((always_inline))

typedef uint64_t (*bench_lookup)(void *table, uint64_t key);

/* The first eight bytes of a buffer that the compiler must take for read as a whole. */
BENCH_INLINE uint64_t bench_first(const void *id)
{
    uint64_t first;
    __asm__ volatile("" : : "r"(id) : "memory");
    memcpy(&first, id, sizeof first);
    return first;
}

BENCH_INLINE uint64_t bench_loop_hits(bench_lookup lookup, void *table, const uint64_t *keys, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += lookup(table, keys[i]);
    return sum;
}

BENCH_INLINE uint64_t bench_loop_chain(bench_lookup lookup, void *table, uint64_t key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        key = lookup(table, key);
    return key;
}

#endif
