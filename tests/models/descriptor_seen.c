/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread takes a descriptor again, for a new array that is not published yet. In its last life the descriptor had a
 * future. Meanwhile another thread retires the arrays that the head has left: the new one must not be among them.
 */
#define MODEL_FENCED_PINS 1
#include "model.h"

static void *maker(void *unused)
{
    model_enter(1);
    model_resize_begin();
    model_resize_complete();
    return unused;
}

static void *retirer(void *unused)
{
    model_enter(2);
    bid_reclaim(&table);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_resize_complete();
    assert(bid_reclaim(&table) == 0);
    model_start(&threads, maker);
    model_start(&threads, retirer);
    model_join(&threads);
    assert(model_lookup(7) == 1);
    return 0;
}
