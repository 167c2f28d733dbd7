/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * LEFT in the head word: one thread gives the head a future, and may not have set LEFT yet when another finds the
 * future, seals its key and updates it there. A reader that comes then never sees an older state after a newer one, and
 * one that was told of the update sees it.
 */
#include "states.h"

static _Atomic(int) told;

static void *beginner(void *unused)
{
    model_enter(1);
    model_resize_begin();
    return unused;
}

static void *writer(void *unused)
{
    model_enter(2);
    states_update();
    atomic_store_explicit(&told, 1, memory_order_release);
    return unused;
}

static void *reader(void *unused)
{
    model_enter(3);
    int least = atomic_load_explicit(&told, memory_order_acquire) ? STATES - 1 : 0;
    states_find(model_lookup(7), least);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    states_setup();
    model_start(&threads, beginner);
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);
    states_finish();
    return 0;
}
