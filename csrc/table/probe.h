/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The read of one path in one array: the heart of a lookup. Included by lookup.c alone.
 */
#ifndef BID_PROBE_H
#define BID_PROBE_H

#include "hash.h"

/* What a path says about a key. record is NULL if no slot is the key's. `frozen`: the future array must be asked. */
struct bid_probe {
    const struct bid_record *record;
    uint64_t word;
    int frozen;
};

/* Eight slots at once. match: bit i says that slot i has the tag; seen: all words or-ed; last: the last slot that
 * belongs to the path. */
struct bid_scan {
    unsigned match;
    uint64_t seen;
    uint64_t last;
};

/*
 * The last slot is read first, then all from the last to the first, and that matters. If it is EMPTY then, at the moment
 * it was read, no slot of this key lay in a later bucket, and one in this bucket is still there when its turn comes; so
 * "no match, last EMPTY" means that the key was absent at that moment. The same moment serves FROZEN: had the key's path
 * been sealed by then, the frozen EMPTY slot would be read after it, and `seen` shows it. A FROZEN bit of another key
 * in the same bucket sends a lookup to the future array for nothing, which is harmless: no slot there, no change.
 */
static inline struct bid_scan bid_scan_bucket(bid_word *bucket, unsigned slots, uint64_t tag)
{
    struct bid_scan scan = {.last = bid_load(&bucket[slots - 1], BID_P_ACQUIRE)}; /* (P) */
    uint64_t pattern = tag << BID_TAG_SHIFT;
    for (int i = BID_BUCKET_SLOTS - 1; i >= 0; i--) {
        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
        scan.match = 2 * scan.match + ((word ^ pattern) < 1ull << BID_TAG_SHIFT);
        scan.seen |= word;
    }
    return scan;
}

/* Bound: array->path_buckets buckets, and one record for each of their slots. A match in the half of a home bucket that
 * is not of the path costs a look at a record of another key, no more. */
static inline struct bid_probe bid_probe_path(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost)
{
    struct bid_path path = bid_path(array, key);
    unsigned slots = array->home_slots;
    for (uint32_t i = 0;;) {
        bid_word *bucket = bid_bucket(array, &path);
        struct bid_scan scan = bid_scan_bucket(bucket, slots, path.tag);
        if (cost)
            cost->slots += BID_BUCKET_SLOTS;
        for (unsigned match = scan.match; match; match &= match - 1) {
            uint64_t word = bid_load(&bucket[__builtin_ctz(match)], BID_P_ACQUIRE); /* same key still, maybe newer */
            const struct bid_record *record = &array->records[bid_word_index(word)];
            if (cost)
                cost->records++;
            if (record->key == key)
                return (struct bid_probe){record, word, (int)(word & BID_FROZEN)};
        }
        if (bid_word_is_empty(scan.last))
            return (struct bid_probe){NULL, 0, (int)(scan.seen & BID_FROZEN)};
        if (++i == array->path_buckets)
            return (struct bid_probe){NULL, 0, (int)(scan.last & BID_FROZEN)};
        bid_path_next(array, &path);
        slots = BID_BUCKET_SLOTS;
    }
}

#endif
