/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An array with another seed than the table becomes the head; when what came before it is gone, the table takes its
 * seed over, and lookups the simple form. No lookup uses one array's seed in another.
 */
#include "membarrier.h"

/* Gives the head a future with another seed, under which the key has another home bucket. */
static void begin_reseeded(void)
{
    struct bid_array *head = model_head(), *future;
    struct bid_array_plan plan = {.size = head->size, .seed = head->seed};
    bid_plan_records(&table, 1, 0, &plan);
    do
        plan.seed++;
    while (bid_sequence_mixed(bid_mix(7, plan.seed), head->buckets).bucket == bid_sequence(head, 7).bucket);
    int status = bid_array_make(&table, &plan, &future);
    assert(status == BID_OK);
    bid_store(&head->future, future->word, BID_F_RELEASE);
    bid_leave(&table, head);
}

static void *resizer(void *unused)
{
    model_enter(1);
    begin_reseeded();
    model_resize_complete();
    bid_reclaim(&table);
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    interruptible_begin();
    assert(model_lookup(7) == 1);
    interruptible_end();
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_enter(2);
    assert(model_lookup(7) == 1); /* from now on the reader has a slot, and takes the simple form */
    model_enter(0);
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_join(&threads);
    assert(model_lookup(7) == 1);
    return 0;
}
