/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread moves the head, and gives the new head a future at once. Meanwhile another thread retires the array that the
 * head has left. If it sees that future, it must also see that the head has moved.
 */
#define MODEL_FENCED_PINS 1
#include "model.h"

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    model_resize_begin();
    return unused;
}

static void *retirer(void *unused)
{
    model_enter(2);
    bid_retire(&table);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_start(&threads, resizer);
    model_start(&threads, retirer);
    model_join(&threads);
    assert((bid_load(&model_head()->life, BID_RELAXED) & BID_LIFE_MASK) == BID_LIFE_IN_USE);
    return 0;
}
