/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An update that also does the whole resize is stopped for good before its n-th write to shared memory, for every n
 * (the last is more than there are), while a reader looks on. The lookups end and are right, and when the writer
 * stands still others finish what it left: the resize, and updates of every kind. An endless loop would be noticed
 * as a run that does not end.
 */
#define MODEL_STEPS
#include "model.h"

static _Atomic(int) choice;
static _Thread_local int steps_left;
static int finished;

static void model_step(void)
{
    if (steps_left && --steps_left == 0)
        pthread_exit(NULL);
}

/* The writer's one read of `choice` may see any of these values. */
static void *chooser(void *unused)
{
    for (int i = FIRST; i <= LAST; i++)
        atomic_store_explicit(&choice, i, memory_order_relaxed);
    return unused;
}

static void *writer(void *unused)
{
    model_enter(1);
    int stop = atomic_load_explicit(&choice, memory_order_relaxed);
    steps_left = stop ? stop : FIRST;
    model_resize_complete();
    assert(model_remove(7) == BID_OK);
    finished = 1;
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    int first = model_lookup(7);
    assert(first == 1 || first == MODEL_ABSENT);
    assert(model_lookup(9) == 2);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    assert(model_insert(9, 2) == BID_OK);
    model_resize_begin();
    model_start(&threads, chooser);
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);

    int left = model_lookup(7);
    assert(left == MODEL_ABSENT || (left == 1 && !finished));
    assert(model_remove(7) == (left ? BID_OK : BID_ABSENT));
    assert(model_insert(7, 3) == BID_OK);
    assert(model_replace(9, 4) == BID_OK);
    model_resize_complete();
    assert(!bid_resizing(&table));
    assert(model_lookup(7) == 3 && model_lookup(9) == 4);
    return 0;
}
