/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A resize, the old array retired and freed, and a reader that may be in it. An access to freed memory is an error by
 * itself. With RECLAIMER another thread than the resizer frees. PIN_SLOTS and PIN_TEMPORARY: the other forms of a pin.
 * RESIZER=0: the resizer has the pin slot of main(), which waits for it.
 */
#ifndef MODEL_FENCED_PINS
#define MODEL_FENCED_PINS 1
#endif
#ifndef RESIZER
#define RESIZER 1
#endif
#include "model.h"

static void *resizer(void *unused)
{
    model_enter(RESIZER);
    model_resize_complete();
#ifndef RECLAIMER
    bid_reclaim(&table);
#endif
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    for (int i = 0; i < LOOKUPS; i++)
        assert(model_lookup(7) == 1);
    return unused;
}

static void *reclaimer(void *unused)
{
    model_enter(3);
    bid_reclaim(&table);
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
#ifdef RECLAIMER
    model_start(&threads, reclaimer);
#endif
    model_join(&threads);
    assert(bid_reclaim(&table) == 0); /* nobody is left to wait for */
    return 0;
}
