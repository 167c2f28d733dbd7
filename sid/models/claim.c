/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two inserts of different keys and one slot with a place: one of them claims the place, and the other may be first to
 * publish there. Both keys are found afterwards, each with its own record, and a reader sees each come once.
 */
#include "model.h"

static uint64_t keys[2]; /* of one home bucket */

static void choose_keys(void)
{
    uint64_t home = bid_sequence(model_head(), 1).bucket, key = 2;
    while (bid_sequence(model_head(), key).bucket != home)
        key++;
    keys[0] = 1;
    keys[1] = key;
}

static void *first(void *unused)
{
    model_enter(1);
    assert(model_insert(keys[0], 1) == BID_OK);
    return unused;
}

static void *second(void *unused)
{
    model_enter(2);
    assert(model_insert(keys[1], 2) == BID_OK);
    return unused;
}

static inline void *reader(void *unused)
{
    model_enter(3);
    int seen = model_lookup(keys[0]);
    assert(seen == MODEL_ABSENT || seen == 1);
    assert(seen == MODEL_ABSENT || model_lookup(keys[0]) == 1);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    choose_keys();
    model_start(&threads, first);
    model_start(&threads, second);
#ifdef READER
    model_start(&threads, reader);
#endif
    model_join(&threads);
    assert(model_lookup(keys[0]) == 1 && model_lookup(keys[1]) == 2);
    return 0;
}
