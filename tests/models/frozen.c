/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * FROZEN says that there is a future (P): an update that reads a frozen word must find the future when it looks for it
 * once. The other thread seals a key; with HELP it freezes a whole chunk.
 */
#include "model.h"

static struct bid_array *first;

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_begin();
#ifdef HELP
    model_copy_chunk();
#else
    model_migrate(7);
#endif
    return unused;
}

static void *writer(void *unused)
{
    uint8_t value = 2;
    struct bid_operation op = {.kind = BID_REPLACE, .key = 7, .generation = value, .id = &value, .length = 1};
    model_enter(2);
    int status = bid_update_array(&table, first, &op);
    assert(status == BID_OK || (status == BID_STEP_MOVED && bid_future(&table, first)));
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    first = model_head();
    model_start(&threads, resizer);
    model_start(&threads, writer);
    model_join(&threads);
    return 0;
}
