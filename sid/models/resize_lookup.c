/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups while the table grows, with nothing else going on: every answer is as it was. THIRD: one more. */
#include "model.h"

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_begin();
    model_resize_complete();
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    assert(model_lookup(7) == 1);
    assert(model_lookup(8) == MODEL_ABSENT);
#ifdef THIRD
    assert(model_lookup(9) == MODEL_ABSENT);
#endif
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    assert(model_insert(8, 2) == BID_OK);
    assert(model_remove(8) == BID_OK);
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
