/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where an update of a key has to act in one array.
 *
 * Every update, seal and copy of a key is a compare-and-swap of the word found here, and there is one such word at any
 * time: a key claims the first EMPTY slot of its path and no other, and a slot never returns to EMPTY.
 */
#include "update.h"

/* Bound: the slots of one path, and a record for each. */
struct bid_place bid_place_find(const struct bid_array *array, uint64_t key)
{
    struct bid_path path = bid_path(array, key);
    struct bid_place place = {.pattern = path.pattern};
    for (uint32_t i = 0; i < array->path_buckets; i++, bid_path_next(array, &path)) {
        bid_word *bucket = bid_bucket(array, &path);
        unsigned slots = i ? BID_BUCKET_SLOTS : array->first_slots;
        for (unsigned s = 0; s < slots; s++) {
            place.slot = &bucket[s];
            place.word = bid_load(place.slot, BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
            if (bid_word_is_empty(place.word))
                return place;
            if ((place.word ^ path.pattern) >> BID_TAG_SHIFT)
                continue;
            place.own = array->records[bid_word_index(place.word)].key == key;
            if (place.own)
                return place;
        }
    }
    return place;
}
