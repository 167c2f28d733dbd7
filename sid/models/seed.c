/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An array with another seed than the table becomes the head; when what came before it is gone, the table takes its
 * seed over, and lookups the simple form. No lookup uses one array's seed in another.
 */
#include "membarrier.h"

#include "reseed.h"

static void *resizer(void *unused)
{
    model_enter(1);
    begin_with(reseeded());
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
