/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The read of one path in one array: the heart of a lookup. Included by lookup.c alone.
 */
#ifndef BID_PROBE_H
#define BID_PROBE_H

#include "hash.h"

#define BID_INLINE static inline __attribute__((always_inline))

/* What a path says about a key: its slot's word, without the tag, and record; no record if no slot is the key's. */
struct bid_probe {
    const struct bid_record *record;
    uint64_t word;
};

/*
 * Eight slots at once, without a branch. A word xor-ed with the tag is below 1 << BID_TAG_SHIFT if it has the tag, and
 * is then the word without it; so the least of the eight is the word of a slot that has the tag, if there is one.
 */
BID_INLINE uint64_t bid_bucket_least(bid_word *bucket, uint64_t pattern)
{
    uint64_t least = UINT64_MAX;
#pragma GCC unroll 8
    for (int i = BID_BUCKET_SLOTS - 1; i >= 0; i--) {
        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE) ^ pattern; /* (P) pairs with every CAS of a slot */
        least = word < least ? word : least;
    }
    return least;
}

/* One in some thousand times the least is another key's, with the same tag; then the slots are read one by one. */
static __attribute__((noinline)) struct bid_probe bid_bucket_search(const struct bid_array *array, bid_word *bucket,
                                                                    uint64_t pattern, uint64_t key,
                                                                    struct bid_probe_cost *cost)
{
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE) ^ pattern; /* (P) */
        if (word >> BID_TAG_SHIFT)
            continue;
        const struct bid_record *record = &array->records[bid_word_index(word)];
        if (cost)
            cost->records++;
        if (record->key == key)
            return (struct bid_probe){record, word};
    }
    return (struct bid_probe){NULL, 0};
}

/* The key's slot in one bucket. */
BID_INLINE struct bid_probe bid_probe_bucket(const struct bid_array *array, bid_word *bucket, uint64_t pattern,
                                             uint64_t key, struct bid_probe_cost *cost)
{
    uint64_t least = bid_bucket_least(bucket, pattern);
    if (cost)
        cost->slots += BID_BUCKET_SLOTS;
    if (least >> BID_TAG_SHIFT)
        return (struct bid_probe){NULL, 0};
    const struct bid_record *record = &array->records[least >> BID_INDEX_SHIFT];
    if (__builtin_expect(record->key != key, 0))
        return bid_bucket_search(array, bucket, pattern, key, cost);
    if (cost)
        cost->records++;
    return (struct bid_probe){record, least};
}

/*
 * The last slot of a bucket is read before the others, and that matters. If it is EMPTY then, at the moment it was read,
 * no slot of this key lay in a later bucket, and one in this bucket is still there when its turn comes; so "not here,
 * last EMPTY" means that the array had no slot of the key at that moment.
 *
 * Bound: array->path_buckets buckets, and one record for each of their slots. A match in the half of a weak bucket
 * that is not of the path costs a look at a record of another key, no more.
 */
BID_INLINE struct bid_probe bid_probe_path(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost)
{
    struct bid_path path = bid_path(array, key);
    uint32_t last = array->first_slots - 1, more = array->path_buckets;
    for (;;) {
        bid_word *bucket = bid_bucket(array, &path);
        uint64_t end = bid_load(&bucket[last], BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
        struct bid_probe found = bid_probe_bucket(array, bucket, path.pattern, key, cost);
        if (found.record || bid_word_is_empty(end) || --more == 0)
            return found;
        bid_path_next(array, &path);
        last = BID_BUCKET_SLOTS - 1;
    }
}

#endif
