/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where an update of a key has to act in one array.
 *
 * Every update, seal and copy of a key is a compare-and-swap of the word found here, and there is one such word at any
 * time: a key claims the first EMPTY slot of its path and no other, and a slot never returns to EMPTY.
 */
#include "match.h"
#include "update.h"

/* Whether one of the slots, which have the key's tag, is the key's own; place is that one then. */
static int bid_place_own(const struct bid_array *array, bid_word *bucket, uint32_t lanes, uint64_t key,
                         struct bid_place *place)
{
    for (; lanes && !place->own; lanes &= lanes - 1) {
        place->slot = &bucket[bid_lane_slot(lanes)];
        place->word = bid_load(place->slot, BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
        place->own = array->records[bid_word_index(place->word)].key == key;
    }
    return place->own;
}

/* The slots before the first EMPTY one have other keys, for good. If it is not EMPTY any more when its word is read,
 * the bucket is read again: at most once for each of its slots.
 * Bound: the slots of one path, each at most as often as a bucket has slots; and a record for each. */
void bid_place_find(const struct bid_array *array, uint64_t key, struct bid_place *place)
{
    struct bid_path path = bid_path(array, key);
    place->pattern = path.pattern;
    place->own = 0;
    for (uint32_t more = array->path_buckets;;) {
        bid_word *bucket = bid_bucket(array, &path);
        struct bid_lanes lanes = bid_lanes_read(bucket, path.pattern);
        if (lanes.tag && bid_place_own(array, bucket, lanes.tag, key, place))
            return;
        place->slot = &bucket[lanes.empty ? bid_lane_slot(lanes.empty) : BID_BUCKET_SLOTS - 1];
        place->word = bid_load(place->slot, BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
        if (bid_word_is_empty(place->word))
            return;
        if (lanes.empty)
            continue;
        if (--more == 0)
            return;
        bid_path_next(array, &path);
    }
}
