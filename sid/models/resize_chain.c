/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two resizes in a row, with the key changed before, between and after them: a lookup that has read the first head may
 * find the future array frozen, or left. It sees the states in their order all the same.
 */
#include "model.h"

static void *writer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    assert(model_replace(7, 2) == BID_OK);
    model_resize_begin();
    assert(model_replace(7, 3) == BID_OK);
    model_resize_complete();
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    int first = model_lookup(7);
    assert(first >= 1 && first <= 3);
    int second = model_lookup(7);
    assert(second >= first && second <= 3);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
