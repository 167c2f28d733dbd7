/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What one array says about a key. Included by those who look up, lookup.c and region/reader.c, and by nobody else.
 */
#ifndef BID_PROBE_H
#define BID_PROBE_H

#include "bucket.h"
#include "hash.h"

#define BID_INLINE static inline __attribute__((always_inline))
#define BID_APART                                                                                                      \
    static __attribute__((__noinline__)) /* rarely needed: not to take registers and stack from the rest */

/* What an array says about a key: the word of its slot and its record. Without a record, no slot that was read is the
 * key's, and the word says whether its probe sequence ended there. */
struct bid_found {
    struct bid_record *record;
    uint64_t word;
};

#define BID_FOUND_END 0     /* an EMPTY slot: at the moment when it was read, the array had no slot of the key */
#define BID_FOUND_GOES_ON 1 /* none; neither is the word of a LIVE slot */

/* What bid_lookup_cost() says; nothing is counted for NULL. The barrier keeps both counters from being written at once,
 * from a constant in memory that may not be there yet: a lookup takes no page fault. */
BID_INLINE void bid_cost_bucket(struct bid_probe_cost *cost)
{
    if (!cost)
        return;
    cost->slots += BID_BUCKET_SLOTS;
    bid_platform_compiler_barrier();
}

BID_INLINE void bid_cost_record(struct bid_probe_cost *cost)
{
    if (cost)
        cost->records++;
}

/* One look at a bucket: the word of the first slot that has the tag; or BID_FOUND_END or BID_FOUND_GOES_ON. */
BID_INLINE uint64_t bid_glance(bid_word *bucket, uint32_t tag)
{
    struct bid_slots read = bid_bucket_read(bucket, tag);
    if (__builtin_expect(!read.tagged, 0))
        return read.empty ? BID_FOUND_END : BID_FOUND_GOES_ON;
    uint64_t word =
        bid_load(bid_first_word(bucket, read.tagged), BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
    if (!(word & BID_TAG_ONE))
        __builtin_unreachable(); /* a slot keeps its key, and so its tag */
    return word;
}

/* What a glance says about a key. Another key's tag is the same once in some thousand times. */
BID_INLINE struct bid_found bid_glanced(char *base, uint64_t glance, uint64_t key)
{
    if (__builtin_expect(!(glance & BID_TAG_ONE), 0))
        return (struct bid_found){NULL, glance};
    struct bid_record *record = bid_record_of(base, glance);
    if (__builtin_expect(record->key != key, 0))
        return (struct bid_found){NULL, BID_FOUND_GOES_ON};
    return (struct bid_found){record, glance};
}

/* A glance at a home bucket. Bound: its slots, and one record. */
BID_INLINE struct bid_found bid_home_search(char *base, uint64_t buckets, uint64_t mixed, uint64_t key,
                                            struct bid_probe_cost *cost)
{
    struct bid_sequence home = bid_sequence_mixed(mixed, buckets);
    bid_cost_bucket(cost);
    uint64_t glance = bid_glance(bid_bucket_fetch(base, home.bucket), home.tag);
    if (glance & BID_TAG_ONE)
        bid_cost_record(cost);
    return bid_glanced(base, glance, key);
}

/* One bucket of a probe sequence. Bound: its slots, and a record for each. */
BID_INLINE struct bid_found bid_bucket_search(char *base, uint64_t number, uint32_t tag, uint64_t key,
                                              struct bid_probe_cost *cost)
{
    bid_word *bucket = bid_bucket_fetch(base, number);
    struct bid_slots read = bid_bucket_read(bucket, tag);
    bid_cost_bucket(cost);
    for (unsigned slot = 0; slot < BID_BUCKET_SLOTS; slot++) {
        if (!bid_slots_have(read.tagged, slot))
            continue;
        uint64_t word = bid_load(&bucket[slot], BID_P_ACQUIRE); /* (P) as in bid_glance() */
        struct bid_record *record = bid_record_of(base, word);
        bid_cost_record(cost);
        if (record->key == key)
            return (struct bid_found){record, word};
    }
    return (struct bid_found){NULL, read.empty ? BID_FOUND_END : BID_FOUND_GOES_ON};
}

/* A whole probe sequence. Bound: its slots, and a record for each. */
BID_APART struct bid_found bid_probe(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost)
{
    uint64_t mixed = bid_mix(key, array->seed), buckets = array->buckets;
    struct bid_sequence at = bid_sequence_mixed(mixed, buckets);
    for (uint32_t more = BID_SEQUENCE_BUCKETS;;) {
        struct bid_found found = bid_bucket_search(array->base, at.bucket, at.tag, key, cost);
        if (found.record || found.word == BID_FOUND_END || --more == 0)
            return found;
        at.bucket = bid_bucket_next(at.bucket, bid_step(mixed, buckets), buckets);
    }
}

#endif
