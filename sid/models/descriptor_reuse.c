/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One thread frees an array and gives its descriptor back, another takes the descriptor for a new array. There are but
 * two, so the second resize has to wait for the first array's end, or says so.
 */
#define BID_ARRAYS 2
#define MODEL_FENCED_PINS 1
#include "model.h"

static void *freer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    bid_reclaim(&table);
    return unused;
}

static void *taker(void *unused)
{
    model_enter(2);
    struct bid_pin pin = bid_pin(table.pins);
    int status = bid_resize_begin(&table, model_head(), BID_NEED_RESERVE, 0);
    assert(status == BID_OK || status == BID_E_RETIRED);
    bid_unpin(table.pins, pin);
    assert(model_lookup(7) == 1);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_start(&threads, freer);
    model_start(&threads, taker);
    model_join(&threads);
    return 0;
}
