/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The head word changes by compare-and-swap alone, so whoever is late with a change does not take the head back. LEAVE:
 * a thread that found the future sets LEFT, while others do the whole resize. FINISH: a helper that found every chunk
 * done moves the head, while others move it, and do the next resize as well.
 */
#include "prepared.h"

static struct bid_array *first, *second, *third, *last;

static void *late(void *unused)
{
    model_enter(1);
    struct bid_pin pin = bid_pin(table.pins);
#ifdef LEAVE
    bid_leave(&table, first);
#else
    bid_resize_finish(&table, first, second);
#endif
    bid_unpin(table.pins, pin);
    return unused;
}

static void *early(void *unused)
{
    model_enter(2);
    model_resize_complete();
#ifdef FINISH
    begin_with(third);
    model_resize_complete();
#endif
    last = model_head();
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    first = model_head();
    third = prepared(first->seed);
    model_resize_begin();
    second = bid_future(&table, first);
    model_copy_chunk();
    for (int i = 0; i < BID_ARRAYS; i++) /* nothing is retired: that is not what this is about */
        bid_store(&table.arrays[i].life, BID_LIFE_BUILDING, BID_RELAXED);
#ifdef LEAVE
    bid_store(&table.head, first->word, BID_RELAXED); /* whoever began the resize has not set LEFT yet */
#endif
    model_start(&threads, late);
    model_start(&threads, early);
    model_join(&threads);
    assert(model_head() == last && model_head() != first);
    assert(model_lookup(7) == 1);
    return 0;
}
