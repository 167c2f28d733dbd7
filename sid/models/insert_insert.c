/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two inserts of one key: one wins. OTHER: and an insert of another key that wants the same slot; nothing is lost. */
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

#ifdef OTHER
static void *other(void *unused)
{
    model_enter(3);
    assert(model_insert(8, 3) == BID_OK);
    return unused;
}
#endif

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    model_start(&threads, first);
    model_start(&threads, second);
#ifdef OTHER
    model_start(&threads, other);
#endif
    model_join(&threads);
    assert(statuses[0] + statuses[1] == BID_OK + BID_EXISTS);
    assert(model_lookup(7) == (statuses[0] == BID_OK ? 1 : 2));
#ifdef OTHER
    assert(model_lookup(8) == 3);
#endif
    return 0;
}
