/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A reader with a plain pin in an array that is left, retired, and freed after a membarrier(). */
#include "membarrier.h"

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
    model_resize_begin();
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
