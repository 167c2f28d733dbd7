/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two removes in NMI context in the midst of a resize, of keys whose copies get no place and no record but those set aside
 * for such removes: each gets one of its own, so that both tombstones name their keys.
 */
#define BID_BUCKET_PLACES 0
#define MODEL_REMOVES_ASIDE 2
#include "model.h"

static uint64_t keys[2]; /* of different home buckets */

static void choose_keys(void)
{
    keys[0] = keys[1] = 1;
    while (bid_sequence(model_head(), keys[1]).bucket == bid_sequence(model_head(), keys[0]).bucket)
        keys[1]++;
}

static void *first(void *unused)
{
    model_enter(1);
    assert(model_remove(keys[0]) == BID_OK);
    return unused;
}

static void *second(void *unused)
{
    model_enter(2);
    assert(model_remove(keys[1]) == BID_OK);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    choose_keys();
    assert(model_insert(keys[0], 1) == BID_OK && model_insert(keys[1], 2) == BID_OK);
    model_resize_begin();
    struct bid_array *future = bid_future(&table, model_head());
    bid_store(&future->record_next, future->record_capacity, BID_RELAXED);
    model_start(&threads, first);
    model_start(&threads, second);
    model_join(&threads);
    assert(model_remove(keys[0]) == BID_ABSENT && model_remove(keys[1]) == BID_ABSENT);
    return 0;
}
