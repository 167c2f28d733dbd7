/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two inserts of one key: one wins. OTHER: the second thread inserts another key of the same home bucket first, so the
 * first one may lose the slot to that key, and the next slot to its own. A third thread for the other key would be more
 * executions than end in minutes, for each insert changes three counters: what it adds is a swap that fails in both
 * threads that insert the key.
 */
#include "model.h"

static int statuses[2];

static void *first(void *unused)
{
    model_enter(1);
    statuses[0] = model_insert(7, 1);
    return unused;
}

static void *second(void *unused)
{
    model_enter(2);
#ifdef OTHER
    assert(model_insert(model_next_key(7, 1), 3) == BID_OK);
#endif
    statuses[1] = model_insert(7, 2);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    model_start(&threads, first);
    model_start(&threads, second);
    model_join(&threads);
    assert(statuses[0] + statuses[1] == BID_OK + BID_EXISTS);
    assert(model_lookup(7) == (statuses[0] == BID_OK ? 1 : 2));
#ifdef OTHER
    assert(model_lookup(model_next_key(7, 1)) == 3);
#endif
    return 0;
}
