/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The integrity walk: whether a table that nobody updates keeps its own invariants. Those of table.h, slot.h and move.c
 * are looked at slot by slot; nothing is repaired, and nothing is changed.
 *
 * Two slots cannot name one record unnoticed: they would have its key, and a key has one slot.
 */
#include "update.h"

struct bid_audit_counts {
    uint64_t claimed; /* slots that are not EMPTY */
    uint64_t live;    /* slots that are LIVE in this array, whatever came of the key in the future array */
    uint64_t entries; /* keys that this array decides, and that are there */
};

/* Whether a record may be there: in a place whose slot is TAKEN or no longer EMPTY, or elsewhere where it was taken. */
static int bid_audit_index(const struct bid_table *table, const struct bid_array *array, uint64_t index)
{
    uint64_t units = table->record_units, bucket = index / BID_BUCKET_UNITS, unit = index % BID_BUCKET_UNITS;
    if (index >= array->record_first)
        return (index - array->record_first) % units == 0 &&
               index + units <= bid_load(&array->record_ready, BID_RELAXED) &&
               index + units <= bid_load(&array->record_next, BID_RELAXED);
    if (bucket >= array->buckets || unit < BID_WORDS_UNITS || (unit - BID_WORDS_UNITS) % units)
        return 0;
    unsigned slot = (unsigned)((unit - BID_WORDS_UNITS) / units);
    uint64_t word = bid_load(&bid_bucket(array->base, bucket)[slot], BID_RELAXED);
    return bid_place_of(bucket, slot, table->record_units) == index && (!bid_word_is_empty(word) || word & BID_TAKEN);
}

/* One word that is not EMPTY. NULL, or what is wrong. */
static const char *bid_audit_slot(const struct bid_table *table, const struct bid_array *array, bid_word *slot)
{
    uint64_t word = bid_load(slot, BID_P_ACQUIRE), index = bid_word_index(word); /* (P) */
    struct bid_deciding at;
    if (!(word & BID_TAG_ONE) || (word & BID_STATE_MASK) == BID_STATE_MASK)
        return "a slot word is of no state";
    if (!bid_audit_index(table, array, index))
        return "a slot names a record that was not taken";
    if (bid_word_length(word) > table->options.id_size)
        return "a build ID is longer than id_size";
    bid_deciding_find(table, array, bid_record_at(array->base, index)->key, &at);
    if (!at.own)
        return "a key's slot lies behind the first EMPTY slot of its probe sequence, or has another tag";
    return at.slot == slot ? NULL : "a key has two slots";
}

/* The slots of a bucket fill from the first to the last. If the resize is done with it, they are FROZEN up to the first
 * EMPTY one, and each key that was live has a slot in the future array. */
static const char *bid_audit_bucket(const struct bid_table *table, const struct bid_array *array,
                                    const struct bid_array *future, uint64_t bucket, struct bid_audit_counts *counts)
{
    uint64_t chunk = bucket / BID_CHUNK_BUCKETS;
    int ended = 0, done = bid_load(&array->done[chunk / 64], BID_D_ACQUIRE) >> chunk % 64 & 1; /* (D) */
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++) {
        bid_word *slot = &bid_bucket(array->base, bucket)[i];
        uint64_t word = bid_load(slot, BID_P_ACQUIRE); /* (P) */
        if (word & BID_FROZEN && !(future && bid_load(&table->head, BID_RELAXED) & BID_HEAD_LEFT))
            return "a word is FROZEN, and the array has no future, or the head word has no LEFT";
        if (done && !ended && !(word & BID_FROZEN))
            return "a chunk is done, and a word of it is not FROZEN";
        if (bid_word_is_empty(word)) {
            ended = 1;
            continue;
        }
        if (ended)
            return "a slot is taken behind an EMPTY one of its bucket";
        const char *wrong = bid_audit_slot(table, array, slot);
        if (wrong)
            return wrong;
        int live = bid_word_is_live(word);
        int moved = bid_has_slot(table, future, bid_record_of(array->base, word)->key); /* the future array decides */
        if (done && live && !moved)
            return "a chunk is done, and a live key of it has no slot in the future array";
        counts->claimed++;
        counts->live += (uint64_t)live;
        counts->entries += (uint64_t)(live && !moved);
    }
    return NULL;
}

static const char *bid_audit_array(const struct bid_table *table, const struct bid_array *array,
                                   const struct bid_array *future, uint64_t unfinished, struct bid_audit_counts *counts)
{
    *counts = (struct bid_audit_counts){0};
    for (uint64_t bucket = 0; bucket < array->buckets; bucket++) {
        const char *wrong = bid_audit_bucket(table, array, future, bucket, counts);
        if (wrong)
            return wrong;
    }
    uint64_t claimed = bid_load(&array->claimed, BID_RELAXED);
    if (claimed > counts->claimed || claimed + unfinished * BID_CHUNK_BUCKETS * BID_BUCKET_SLOTS < counts->claimed)
        return "the count of claimed slots is wrong";
    return NULL;
}

/* The capacity invariant of table.h. */
static const char *bid_audit_capacity(const struct bid_array *head, const struct bid_array *future,
                                      const struct bid_audit_counts *old, const struct bid_audit_counts *new)
{
    uint64_t limit = bid_load(&head->live_limit, BID_RELAXED);
    if (old->live > limit)
        return "an array has more entries than its limit, which its future has room for";
    if (limit > bid_array_slots(future) * 9 / 16)
        return "an array may get more entries than its future has room for";
    if (new->claimed > limit + future->early_limit)
        return "more of a future array is claimed than copies and updates together may";
    return NULL;
}

const char *bid_audit(const struct bid_table *table, uint64_t unfinished)
{
    struct bid_audit_counts old, new = {0};
    if (!table)
        return "the table is NULL";
    struct bid_pin pin = bid_pin_update(table->pins, 1);
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    const char *wrong = bid_audit_array(table, head, future, unfinished, &old);
    if (!wrong && !(bid_load(&table->head, BID_RELAXED) & BID_HEAD_RESEEDED) &&
        head->seed != bid_load(&table->seed, BID_RELAXED))
        wrong = "the head has another seed than the table, and its word does not say so";
    if (!wrong && future)
        wrong = bid_audit_array(table, future, NULL, unfinished, &new);
    if (!wrong && future)
        wrong = bid_audit_capacity(head, future, &old, &new);
    bid_unpin_update(table->pins, pin);
    uint64_t entries = old.entries + new.entries, count = bid_count(table);
    if (!wrong && (count < entries || count > entries + unfinished))
        wrong = "the count of entries is wrong";
    if (!wrong && entries > table->options.max_entries)
        wrong = "there are more entries than max_entries";
    return wrong;
}
