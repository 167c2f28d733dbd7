/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How many refreshes are under way in this process.
 *
 *     word = era (32 bits) | refreshes (32 bits)
 *
 * It lies in memory that a fork wipes, for the child does not have the threads that were in one. The first refresh in a
 * process begins a new era, so that one which was under way in the forking thread itself, and ends in the child, is
 * not taken for a refresh of the child.
 */
#ifndef BID_READINGS_H
#define BID_READINGS_H

#include "../table/bid_atomic.h"
#include "wiped.h"

struct bid_readings {
    bid_word word;
};

#define BID_READINGS_ERA_SHIFT 32
#define BID_READINGS_MASK 0xffffffffull

/* Returns the era. `eras` counts them, in memory that a fork copies. */
static inline uint64_t bid_readings_begin(struct bid_readings *readings, bid_word *eras)
{
    uint64_t word = bid_load(&readings->word, BID_RELAXED), next;
    do
        next = word ? word : (bid_add(eras, 1, BID_RELAXED) + 1) << BID_READINGS_ERA_SHIFT;
    while (!bid_cas(&readings->word, &word, next + 1, memory_order_acq_rel)); /* pairs with bid_readings_alone() */
    return next >> BID_READINGS_ERA_SHIFT;
}

static inline void bid_readings_end(struct bid_readings *readings, uint64_t era)
{
    uint64_t word = bid_load(&readings->word, BID_RELAXED);
    while (word >> BID_READINGS_ERA_SHIFT == era &&
           !bid_cas(&readings->word, &word, word - 1, memory_order_acq_rel)) /* what was published comes before */
        ;
}

/* Whether the caller's is the only one. Who begins after this reads what is newer than what the caller has read. */
static inline int bid_readings_alone(struct bid_readings *readings)
{
    return (bid_add(&readings->word, 0, memory_order_acq_rel) & BID_READINGS_MASK) == 1; /* pairs with begin */
}

#endif
