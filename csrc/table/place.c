/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where an update of a key has to act in one array.
 *
 * Every update, seal and copy of a key is a compare-and-swap of the word found here, and there is one such word at any
 * time: a key claims the first EMPTY slot of its path and no other, and a slot never returns to EMPTY.
 */
#include "update.h"

/* A bucket, read without a branch: bit i says that slot i is EMPTY, or that it has the key's tag. */
struct bid_bucket_view {
    uint64_t words[BID_BUCKET_SLOTS];
    unsigned empty, tagged;
};

static inline struct bid_bucket_view bid_bucket_read(bid_word *bucket, uint64_t pattern)
{
    struct bid_bucket_view view = {.empty = 0, .tagged = 0};
    for (unsigned s = 0; s < BID_BUCKET_SLOTS; s++) {
        uint64_t word = bid_load(&bucket[s], BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
        view.words[s] = word;
        view.empty |= (unsigned)bid_word_is_empty(word) << s;
        view.tagged |= (unsigned)!((word ^ pattern) >> BID_TAG_SHIFT) << s;
    }
    return view;
}

/* Bound: the slots of one path, and a record for each. */
struct bid_place bid_place_find(const struct bid_array *array, uint64_t key)
{
    struct bid_path path = bid_path(array, key);
    struct bid_place place = {.pattern = path.pattern};
    for (uint32_t i = 0; i < array->path_buckets; i++, bid_path_next(array, &path)) {
        bid_word *bucket = bid_bucket(array, &path);
        unsigned slots = i ? BID_BUCKET_SLOTS : array->first_slots;
        struct bid_bucket_view view = bid_bucket_read(bucket, path.pattern);
        unsigned found = view.tagged;
        while (found && array->records[bid_word_index(view.words[__builtin_ctz(found)])].key != key)
            found &= found - 1;
        place.own = found != 0;
        found = found ? found : view.empty & ((1u << slots) - 1);
        place.slot = &bucket[found ? (unsigned)__builtin_ctz(found) : slots - 1];
        place.word = view.words[place.slot - bucket];
        if (found)
            return place;
    }
    return place;
}
