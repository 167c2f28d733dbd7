/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where an update of a key has to act in one array.
 *
 * Every update, seal and copy of a key is a compare-and-swap of the word found here, and there is one such word at any
 * time: a key claims the first EMPTY slot of its probe sequence and no other, and a slot never returns to EMPTY.
 */
#include "update.h"

static void bid_deciding_is(struct bid_deciding *at, bid_word *slot)
{
    at->slot = slot;
    at->word = bid_load(slot, BID_P_ACQUIRE); /* (P) pairs with every CAS of a slot */
}

/* Whether one of the slots, which have the key's tag, is the key's own; it decides then. */
static int bid_deciding_own(const struct bid_array *array, bid_word *bucket, uint32_t tagged, uint64_t key,
                            struct bid_deciding *at)
{
    for (unsigned slot = bid_first_slot(tagged); slot < BID_BUCKET_SLOTS && !at->own; slot++) {
        if (!bid_slots_have(tagged, slot))
            continue;
        bid_deciding_is(at, &bucket[slot]);
        at->own = bid_record_of(array->base, at->word)->key == key;
    }
    return at->own;
}

/* The slots before the first EMPTY one have other keys, for good. If it is not EMPTY any more when its word is read,
 * the bucket is read again: at most once for each of its slots.
 * Bound: the slots of one probe sequence, each at most as often as a bucket has slots; and a record for each. */
void bid_deciding_find(const struct bid_table *table, const struct bid_array *array, uint64_t key,
                       struct bid_deciding *at)
{
    uint64_t mixed = bid_mix(key, array->seed), step = bid_step(mixed, array->buckets);
    struct bid_sequence sequence = bid_sequence_mixed(mixed, array->buckets);
    *at = (struct bid_deciding){.tag = sequence.tag};
    for (uint32_t more = BID_SEQUENCE_BUCKETS;;) {
        bid_word *bucket = bid_bucket_fetch(array->base, sequence.bucket);
        struct bid_slots read = bid_bucket_read(bucket, sequence.tag);
        if (read.tagged && bid_deciding_own(array, bucket, read.tagged, key, at))
            return;
        unsigned slot = read.empty ? bid_first_slot(read.empty) : BID_BUCKET_SLOTS - 1;
        bid_deciding_is(at, &bucket[slot]);
        if (bid_word_is_empty(at->word)) {
            at->place = at->word & BID_TAKEN ? 0 : bid_place_of(sequence.bucket, slot, table->record_units);
            return;
        }
        if (read.empty)
            continue;
        if (--more == 0)
            return;
        sequence.bucket = bid_bucket_next(sequence.bucket, step, array->buckets);
    }
}

int bid_has_slot(const struct bid_table *table, const struct bid_array *array, uint64_t key)
{
    struct bid_deciding at = {.own = 0};
    if (array)
        bid_deciding_find(table, array, key, &at);
    return at.own;
}
