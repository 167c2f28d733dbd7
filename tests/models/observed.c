/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A reader without a pin, as in another process, and a thread that observes when it has left. A third thread resizes,
 * and frees what is retired. An access to freed memory is an error by itself.
 *
 * The reader marks when it reads, as the readers of a region agree on with whoever observes them: here by changes of
 * one word, of which one comes first. In the place of a wait the observer says nothing where the reader is still
 * there.
 */
#include "model.h"

static bid_word reading;

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    bid_reclaim(&table);
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    bid_add(&reading, 1, memory_order_acquire);
    struct bid_found found = bid_find(&table, 7, NULL);
    assert(found.record && found.record->generation == 1);
    bid_sub(&reading, 1, memory_order_release);
    return unused;
}

static void *observer(void *unused)
{
    model_enter(3);
    uint64_t number = bid_grace_begin(&table);
    if (number && !bid_add(&reading, 0, memory_order_acq_rel))
        bid_grace_end(&table, number);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    table.flavor = &bid_flavor_shared;
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_copy_chunk(); /* for this is about the move of the head */
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_start(&threads, observer);
    model_join(&threads);
    bid_grace_end(&table, bid_grace_begin(&table));
    assert(bid_reclaim(&table) == 0); /* nobody is left to wait for */
    return 0;
}
