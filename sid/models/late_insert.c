/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An insert that saw no future array, and is late. While a future array is built for as many entries as there are, either the
 * insert is among those or it does not come (C). BEGUN: the future array is there, and an entry is removed in it: that makes
 * no room in the old one, which the insert finds out (C).
 */
#include "model.h"

static int fits, status;

static void *resizer(void *unused)
{
    model_enter(1);
#ifdef BEGUN
    model_resize_begin();
    assert(model_remove(7) == BID_OK);
#else
    fits = bid_limit_entries(&table, model_head(), 1);
#endif
    return unused;
}

static void *writer(void *unused)
{
    uint8_t value = 2;
    struct bid_operation op = {.kind = BID_INSERT, .key = 9, .generation = value, .id = &value, .length = 1};
    model_enter(2);
    status = bid_update_array(&table, model_head(), &op);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
#ifdef BEGUN
    fits = bid_limit_entries(&table, model_head(), 1);
    assert(fits);
#endif
    model_start(&threads, resizer);
    model_start(&threads, writer);
    model_join(&threads);
    assert(!fits || status != BID_OK);
    return 0;
}
