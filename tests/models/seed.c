/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An array with another seed than the table becomes the head; when what came before it is gone, the table takes its
 * seed over, and lookups the simple form. No lookup uses one array's seed in another.
 */
#include "membarrier.h"

#include "prepared.h"

static void *resizer(void *unused)
{
    model_enter(1);
    begin_with(reseeded());
    model_resize_complete();
    bid_reclaim(&table);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_own_pin(READER);
    model_start(&threads, resizer);
    model_start(&threads, interruptible_reader);
    model_join(&threads);
    assert(model_lookup(7) == 1);
    return 0;
}
