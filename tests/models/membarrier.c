/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A reader with a plain pin in an array that is left, retired, and freed after a membarrier(). OWN: its lookup takes
 * the simple form, and the resize begins beside it, for where that is under way the head is read again.
 */
#include "membarrier.h"

static void *resizer(void *unused)
{
    model_enter(1);
#ifdef OWN
    model_resize_begin();
#endif
    model_resize_complete();
    bid_reclaim(&table);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
#ifdef OWN
    model_own_pin(READER);
#else
    model_resize_begin();
#endif
    model_start(&threads, resizer);
    model_start(&threads, interruptible_reader);
    model_join(&threads);
    return 0;
}
