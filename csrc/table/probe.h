/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The read of one path in one array: the heart of a lookup. Included by lookup.c alone.
 */
#ifndef BID_PROBE_H
#define BID_PROBE_H

#include "hash.h"
#include "match.h"

#define BID_INLINE static inline __attribute__((always_inline))
#define BID_APART                                                                                                      \
    static __attribute__((__noinline__)) /* rarely needed: not to take registers and stack from the rest */

/* What a path says about a key: its slot's word, without the tag, and record; no record if no slot is the key's. */
struct bid_probe {
    const struct bid_record *record;
    uint64_t word;
};

/* The record of a word that has the tag, whose pattern was xor-ed away. */
BID_INLINE const struct bid_record *bid_record_of(const struct bid_array *array, uint64_t word)
{
    return &array->records[word >> BID_INDEX_SHIFT];
}

/* What bid_lookup_cost() says; nothing is counted for NULL. */
BID_INLINE void bid_cost_bucket(struct bid_probe_cost *cost)
{
    if (cost)
        cost->slots += BID_BUCKET_SLOTS;
}

BID_INLINE void bid_cost_record(struct bid_probe_cost *cost)
{
    if (cost)
        cost->records++;
}

/* The slots of one bucket one by one. *end is the last one, read before the others. If it was EMPTY then,
 * no slot of this key lay in a later bucket at that moment, and one in this bucket is still there when its turn comes.
 * Hence "not here, last EMPTY" means that the array had no slot of the key when *end was read. */
BID_INLINE struct bid_probe bid_bucket_search(const struct bid_array *array, const struct bid_path *path, uint64_t key,
                                              struct bid_probe_cost *cost, uint64_t *end)
{
    bid_word *bucket = bid_bucket(array, path);
    *end = bid_load(&bucket[BID_BUCKET_SLOTS - 1], BID_RELAXED); /* whether it is EMPTY, and nothing else */
    bid_cost_bucket(cost);
    for (uint32_t i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE) ^ path->pattern; /* (P) */
        if (word >> BID_TAG_SHIFT)
            continue;
        bid_cost_record(cost);
        if (bid_record_of(array, word)->key == key)
            return (struct bid_probe){bid_record_of(array, word), word};
    }
    return (struct bid_probe){NULL, 0};
}

/* A whole path. Bound: array->path_buckets buckets, and one record for each of their slots. */
BID_INLINE struct bid_probe bid_probe_path(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost)
{
    struct bid_path path = bid_path(array, key);
    for (uint32_t more = array->path_buckets;;) {
        uint64_t end;
        struct bid_probe found = bid_bucket_search(array, &path, key, cost, &end);
        if (found.record || bid_word_is_empty(end) || --more == 0)
            return found;
        bid_path_next(array, &path);
    }
}

/* What one look at the home bucket says: the word of a slot with the key's tag, without the pattern; or one of these.
 * */
#define BID_GLANCE_ABSENT UINT64_MAX       /* no slot of the path is the key's */
#define BID_GLANCE_UNSURE (UINT64_MAX - 1) /* the path goes on */

/* `mixed`: the value of the mixing hash. The last slot is read after the others: if it is EMPTY, it was so when the
 * first one was read, for it never is again. That moment is the one of which "absent" holds, as in bid_bucket_search().
 * */
BID_INLINE uint64_t bid_glance(const struct bid_array *array, uint64_t mixed, struct bid_probe_cost *cost)
{
    bid_cost_bucket(cost);
    struct bid_path path = bid_path_mixed(array, mixed);
    bid_word *bucket = bid_bucket(array, &path);
    uint64_t match = bid_match(bucket, path.pattern);
    if (__builtin_expect(!(match >> BID_TAG_SHIFT), 1))
        return match;
    uint64_t end = bid_load(&bucket[BID_BUCKET_SLOTS - 1], BID_RELAXED);
    return __builtin_expect(bid_word_is_empty(end), 1) ? BID_GLANCE_ABSENT : BID_GLANCE_UNSURE;
}

/* The key's slot, if the glance found it; the tag is another key's once in some thousand times. */
BID_INLINE struct bid_probe bid_glance_probe(const struct bid_array *array, uint64_t key, uint64_t glance,
                                             struct bid_probe_cost *cost)
{
    if (__builtin_expect(glance >> BID_TAG_SHIFT, 0))
        return (struct bid_probe){NULL, 0};
    bid_cost_record(cost);
    if (__builtin_expect(bid_record_of(array, glance)->key != key, 0))
        return (struct bid_probe){NULL, 0};
    return (struct bid_probe){bid_record_of(array, glance), glance};
}

#endif
