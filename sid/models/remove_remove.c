/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two removes of one key, one of which begins a resize first and so works in the future array: one finds the entry. */
#include "model.h"

static int statuses[2];

static void *grower(void *unused)
{
    model_enter(1);
    model_resize_begin();
    statuses[0] = model_remove(7);
    return unused;
}

static void *remover(void *unused)
{
    model_enter(2);
    statuses[1] = model_remove(7);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_start(&threads, grower);
    model_start(&threads, remover);
    model_join(&threads);
    assert(statuses[0] + statuses[1] == BID_OK + BID_ABSENT);
    assert(model_lookup(7) == MODEL_ABSENT);
    return 0;
}
