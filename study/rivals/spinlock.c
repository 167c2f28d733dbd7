/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed buckets with a spinlock each; readers take it too. The simplest table on the side, and the reason why the
 * thread said that one "isn't compatible with usage from NMI context due to locking": a lookup that interrupts the
 * holder of its bucket's lock on the same processor spins for ever.
 *
 * Progress: blocking, lookups included.
 */
#include "chain.h"
#include "loops.h"

static inline int spinlock_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct rival_bucket *bucket = rival_bucket(design, key);
    rival_lock(&bucket->lock);
    int status = rival_search(bucket, key, id, cost);
    rival_unlock(&bucket->lock);
    return status;
}

static int spinlock_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_spinlock, design, key, generation, id);
}

RIVAL_LOOPS(spinlock)

const struct bid_design bid_design_spinlock = {
    .name = "spinlock",
    .summary = "fixed buckets with a spinlock each, which readers take",
    .create = rival_chains_create,
    .destroy = rival_chains_destroy,
    .lookup = spinlock_lookup,
    .lookup_generation = spinlock_lookup_generation,
    .insert = rival_chains_insert,
    .replace = rival_chains_replace,
    .remove = rival_chains_remove,
    .count = rival_chains_count,
    .keys = rival_chains_keys,
    .hits = spinlock_hits,
    .chain = spinlock_chain,
};
