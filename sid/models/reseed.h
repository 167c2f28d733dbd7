/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A resize to an array that is made beforehand, with another seed. */
#ifndef BID_MODEL_RESEED_H
#define BID_MODEL_RESEED_H

#include "model.h"

/* An array of the head's size with another seed, under which the key 7 has another home bucket. */
static struct bid_array *reseeded(void)
{
    struct bid_array *head = model_head(), *future;
    struct bid_array_plan plan = {.size = head->size, .seed = head->seed};
    bid_plan_records(&table, 1, 0, &plan);
    do
        plan.seed++;
    while (bid_sequence_mixed(bid_mix(7, plan.seed), head->buckets).bucket == bid_sequence(head, 7).bucket);
    int status = bid_array_make(&table, &plan, &future);
    assert(status == BID_OK);
    return future;
}

static void begin_with(struct bid_array *future)
{
    struct bid_array *head = model_head();
    bid_store(&head->future, future->word, BID_F_RELEASE);
    bid_leave(&table, head);
}

#endif
