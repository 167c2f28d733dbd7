/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two inserts of one key, and an insert of another that wants the same slot: one of the two wins, and nothing is lost. */
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
    statuses[1] = model_insert(7, 2);
    return unused;
}

static void *other(void *unused)
{
    model_enter(3);
    int status = model_insert(8, 3);
    assert(status == BID_OK);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    model_start(&threads, first);
    model_start(&threads, second);
    model_start(&threads, other);
    model_join(&threads);
    assert(statuses[0] + statuses[1] == BID_OK + BID_EXISTS);
    assert(model_lookup(7) == (statuses[0] == BID_OK ? 1 : 2));
    assert(model_lookup(8) == 3);
    return 0;
}
