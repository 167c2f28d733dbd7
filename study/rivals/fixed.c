/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed buckets with lock-free readers, as in many of the kernel's own hash tables: updaters take the bucket's lock,
 * readers follow the chain without one. Nothing blocks a reader; but the number of buckets is chosen once. Too many
 * waste memory; too few make chains that grow with the entries, and every lookup with them. For such a table the hashes
 * without a seed were proposed, as middle bits of the address: it may be given one of them.
 *
 * Entries that were taken out are freed after a grace period (grace.h).
 *
 * Progress: lookups are bounded by the length of a chain; updates are blocking.
 */
#include "chain.h"
#include "grace.h"
#include "loops.h"

struct fixed_table {
    struct rival_grace grace;
    struct rival_chains *chains;
};

static void *fixed_create(uint64_t expected_entries, uint64_t seed)
{
    struct fixed_table *table = calloc(1, sizeof *table);
    if (table && (table->chains = rival_chains_create(expected_entries, seed)) && rival_grace_init(&table->grace) == 0)
        return table;
    if (table)
        free(table->chains);
    free(table);
    return NULL;
}

static void fixed_destroy(void *design)
{
    struct fixed_table *table = design;
    if (!table)
        return;
    rival_grace_end(&table->grace);
    rival_chains_destroy(table->chains);
    free(table);
}

static void fixed_choose_hash(void *design, const struct bid_chain_hash *hash)
{
    struct rival_chains *chains = ((struct fixed_table *)design)->chains;
    chains->hash = *hash;
    chains->usual = 0;
}

static inline int fixed_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct fixed_table *table = design;
    struct bid_pin pin = rival_enter(&table->grace);
    int status = rival_search(rival_bucket(table->chains, key), key, id, cost);
    rival_leave(&table->grace, pin);
    return status;
}

static int fixed_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_fixed, design, key, generation, id);
}

static int fixed_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return rival_chains_insert(((struct fixed_table *)design)->chains, key, generation, id, length);
}

static int fixed_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct fixed_table *table = design;
    struct rival_entry *old;
    int status = rival_chains_exchange(table->chains, key, generation, id, length, &old);
    rival_retire(&table->grace, old);
    return status;
}

static int fixed_remove(void *design, uint64_t key)
{
    struct fixed_table *table = design;
    struct rival_entry *entry = rival_chains_unlink(table->chains, key);
    rival_retire(&table->grace, entry);
    return entry ? BID_OK : BID_ABSENT;
}

static uint64_t fixed_count(const void *design)
{
    return rival_chains_count(((const struct fixed_table *)design)->chains);
}

static size_t fixed_keys(void *design, uint64_t *keys, size_t capacity)
{
    return rival_chains_keys(((struct fixed_table *)design)->chains, keys, capacity);
}

static void fixed_settle(void *design)
{
    rival_grace_collect(&((struct fixed_table *)design)->grace);
}

RIVAL_LOOPS(fixed)

const struct bid_design bid_design_fixed = {
    .name = "fixed",
    .summary = "fixed buckets with lock-free readers: chains as long as the buckets are few",
    .create = fixed_create,
    .destroy = fixed_destroy,
    .choose_hash = fixed_choose_hash,
    .lookup = fixed_lookup,
    .lookup_generation = fixed_lookup_generation,
    .insert = fixed_insert,
    .replace = fixed_replace,
    .remove = fixed_remove,
    .count = fixed_count,
    .keys = fixed_keys,
    .hits = fixed_hits,
    .chain = fixed_chain,
    .settle = fixed_settle,
};
