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

/* All but the move of the head, which is what this is about. */
static void copy_all(void)
{
    struct bid_pin pin = bid_pin(table.pins);
    struct bid_array *head = model_head();
    bid_leave(&table, head);
    assert(bid_move_chunk(&table, head, bid_future(&table, head), 0) == BID_OK);
    bid_or(&head->done[0], 1, BID_RELAXED);
    bid_unpin(table.pins, pin);
}

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
    copy_all();
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_start(&threads, observer);
    model_join(&threads);
    bid_grace_end(&table, bid_grace_begin(&table));
    assert(bid_reclaim(&table) == 0); /* nobody is left to wait for */
    return 0;
}
