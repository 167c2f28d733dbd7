/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Iteration and statistics, weakly consistent.
 *
 * The iteration takes the head A and its future F, if there is one, as they are at the start, and walks the slots of A,
 * then those slots of F whose key has no slot in A. An entry that is there throughout has a slot in one of them by
 * then, and a key has at most one slot in an array: seen exactly once. If A has no future at the start, what comes
 * into a later array only came after the start. The pin keeps A and F for as long as it takes.
 * What a visit gets is looked up at its time, so it may be newer than the slot.
 */
#include "update.h"

struct bid_walk {
    const struct bid_table *table;
    bid_visit visit;
    void *argument;
};

static int bid_visit_key(const struct bid_walk *walk, uint64_t key)
{
    struct bid_build_id id;
    int status = bid_lookup(walk->table, key, &id);
    return status == BID_ABSENT ? 0 : walk->visit(walk->argument, key, status, &id);
}

/* Visits the keys of a bucket of `array` that have no slot in `but`. */
static int bid_walk_bucket(const struct bid_walk *walk, const struct bid_array *array, uint64_t bucket,
                           const struct bid_array *but)
{
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_load(&bid_bucket(array->base, bucket)[i], BID_P_ACQUIRE); /* (P): the record is read */
        if (bid_word_is_empty(word))
            continue;
        uint64_t key = bid_record_of(array->base, word)->key;
        int stop = bid_has_slot(walk->table, but, key) ? 0 : bid_visit_key(walk, key);
        if (stop)
            return stop;
    }
    return 0;
}

static int bid_walk_array(const struct bid_walk *walk, const struct bid_array *array, const struct bid_array *but)
{
    int stop = 0;
    for (uint64_t bucket = 0; bucket < array->buckets && !stop; bucket++)
        stop = bid_walk_bucket(walk, array, bucket, but);
    return stop;
}

int bid_iterate(const struct bid_table *table, bid_visit visit, void *argument)
{
    if (!table || !visit)
        return BID_E_NULL;
    struct bid_walk walk = {table, visit, argument};
    struct bid_pin pin = bid_pin(table->pins);
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    int status = bid_walk_array(&walk, head, NULL);
    if (!status && future)
        status = bid_walk_array(&walk, future, head);
    bid_unpin(table->pins, pin);
    return status;
}

struct bid_key_list {
    uint64_t *keys;
    size_t capacity, seen;
};

static int bid_list_key(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct bid_key_list *list = argument;
    (void)status;
    (void)id;
    if (list->seen < list->capacity)
        list->keys[list->seen] = key;
    list->seen++;
    return 0;
}

size_t bid_keys(const struct bid_table *table, uint64_t *keys, size_t capacity)
{
    struct bid_key_list list = {keys, keys ? capacity : 0, 0};
    bid_iterate(table, bid_list_key, &list);
    return list.seen;
}
