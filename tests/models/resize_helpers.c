/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two threads help with a resize, a chunk each or the same chunk twice, and one of them moves the head. A lookup that
 * reads the new head must find there what either of them has copied.
 */
#define BID_CHUNK_BUCKETS 1
#include "model.h"

static void help(void)
{
    struct bid_array *head = model_head();
    struct bid_array *future = bid_future(&table, head);
    if (future)
        assert(bid_help(&table, head, future) == BID_OK);
}

static void *first(void *unused)
{
    model_enter(1);
    help();
    return unused;
}

static void *second(void *unused)
{
    model_enter(2);
    help();
    return unused;
}

static void *reader(void *unused)
{
    model_enter(3);
    assert(model_lookup(7) == 1);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_start(&threads, first);
    model_start(&threads, second);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
