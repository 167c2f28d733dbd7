/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An array is left while another thread reclaims. What waits afterwards is known to wait: else nobody would free it.
 */
#define MODEL_FENCED_PINS 1
#include "model.h"

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    return unused;
}

static void *reclaimer(void *unused)
{
    model_enter(2);
    bid_reclaim(&table);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    model_resize_begin();
    model_start(&threads, resizer);
    model_start(&threads, reclaimer);
    model_join(&threads);
    assert(!bid_retired_arrays(&table) || bid_waits(&table));
    return 0;
}
