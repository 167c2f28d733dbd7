/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed buckets with a spinlock each, which readers only try: never blocked, but a lookup that finds the lock taken has
 * no answer (RIVAL_BUSY), and a profiler loses its sample. Also two readers of one bucket are in each other's way. The
 * lost lookups are counted.
 *
 * Progress: lookups are bounded by the length of a chain; updates are blocking.
 */
#include "chain.h"
#include "loops.h"

static inline int trylock_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct rival_chains *chains = design;
    struct rival_bucket *bucket = rival_bucket(chains, key);
    if (!rival_trylock(&bucket->lock)) {
        atomic_fetch_add_explicit(&chains->busy, 1, memory_order_relaxed);
        if (cost)
            *cost = (struct bid_probe_cost){.slots = 1};
        return RIVAL_BUSY;
    }
    int status = rival_search(bucket, key, id, cost);
    rival_unlock(&bucket->lock);
    return status;
}

static int trylock_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_trylock, design, key, generation, id);
}

static uint64_t trylock_busy(const void *design)
{
    return atomic_load_explicit(&((const struct rival_chains *)design)->busy, memory_order_relaxed);
}

RIVAL_LOOPS(trylock)

const struct bid_design bid_design_trylock = {
    .name = "trylock",
    .summary = "fixed buckets with a spinlock each, which readers only try: else the answer is busy",
    .create = rival_chains_create,
    .destroy = rival_chains_destroy,
    .lookup = trylock_lookup,
    .lookup_generation = trylock_lookup_generation,
    .insert = rival_chains_insert,
    .replace = rival_chains_replace,
    .remove = rival_chains_remove,
    .count = rival_chains_count,
    .keys = rival_chains_keys,
    .hits = trylock_hits,
    .chain = trylock_chain,
    .busy = trylock_busy,
};
