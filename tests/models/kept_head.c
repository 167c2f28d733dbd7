/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An update that finds its key sealed begins again under another pin, with the head word of that moment: the array in
 * which it was before may be freed by then. It is the remove of a key that is not there, which is sealed by freezing an
 * EMPTY word: nothing is copied, and the update swaps nothing, for this is not about either.
 */
#define MODEL_FENCED_PINS 1
#include "prepared.h"

static struct bid_array *first, *second;

static void *resizer(void *unused)
{
    model_enter(1);
    begin_with(second);
    model_migrate(7);
    bid_resize_finish(&table, first, second);
    bid_reclaim(&table);
    return unused;
}

static void *remover(void *unused)
{
    model_enter(2);
    assert(model_remove(7) == BID_ABSENT);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    first = model_head();
    second = prepared(first->seed);
    model_start(&threads, resizer);
    model_start(&threads, remover);
    model_join(&threads);
    assert(model_remove(7) == BID_ABSENT && model_head() == second);
    return 0;
}
