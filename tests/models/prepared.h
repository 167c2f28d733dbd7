/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A resize to an array that is made beforehand, with the head's seed or with another. */
#ifndef BID_MODEL_PREPARED_H
#define BID_MODEL_PREPARED_H

#include "model.h"

/* An array of the head's size. */
static struct bid_array *prepared(uint64_t seed)
{
    struct bid_array_plan plan = {.size = model_head()->size, .seed = seed};
    struct bid_array *future;
    bid_plan_records(&table, 1, 0, &plan);
    int status = bid_array_make(&table, &plan, &future);
    assert(status == BID_OK);
    return future;
}

/* With another seed, under which the key 7 has another home bucket. */
static inline struct bid_array *reseeded(void)
{
    const struct bid_array *head = model_head();
    uint64_t seed = head->seed;
    do
        seed++;
    while (bid_sequence_mixed(bid_mix(7, seed), head->buckets).bucket == bid_sequence(head, 7).bucket);
    return prepared(seed);
}

static void begin_with(struct bid_array *future)
{
    struct bid_array *head = model_head();
    bid_store(&head->future, future->word, BID_F_RELEASE);
    bid_leave(&table, head);
}

#endif
