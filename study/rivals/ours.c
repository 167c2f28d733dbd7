/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The table of this project, as a design among others. */
#include "loops.h"

static void *ours_create(uint64_t expected_entries, uint64_t seed)
{
    struct bid_table *table;
    struct bid_options options = {
        .size = sizeof options, .expected_entries = expected_entries, .seed = seed, .flags = BID_FIXED_SEED};
    return bid_create(&table, &options) == BID_OK ? table : NULL;
}

static void ours_destroy(void *design)
{
    bid_destroy(design);
}

static inline int ours_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    return cost ? bid_lookup_cost(design, key, id, cost) : bid_lookup(design, key, id);
}

static int ours_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return bid_lookup_generation(design, key, generation, id);
}

static int ours_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_insert(design, key, generation, id, length);
}

static int ours_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_replace(design, key, generation, id, length);
}

static int ours_remove(void *design, uint64_t key)
{
    return bid_remove(design, key);
}

static int ours_insert_nmi(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_insert_nmi(design, key, generation, id, length);
}

static int ours_remove_nmi(void *design, uint64_t key)
{
    return bid_remove_nmi(design, key);
}

static int ours_reserve(void *design, uint64_t entries)
{
    return bid_reserve(design, entries);
}

static int ours_shrink(void *design)
{
    int status = bid_shrink(design);
    return status == BID_UNCHANGED ? BID_OK : status;
}

static uint64_t ours_reclaim(void *design)
{
    return bid_reclaim(design);
}

static uint64_t ours_count(const void *design)
{
    return bid_count(design);
}

static int ours_resizing(const void *design)
{
    return bid_resizing(design);
}

static uint64_t ours_resizes(const void *design)
{
    return bid_resizes(design);
}

static size_t ours_keys(void *design, uint64_t *keys, size_t capacity)
{
    return bid_keys(design, keys, capacity);
}

static uint64_t ours_mapped_bytes(const void *design)
{
    struct bid_stats stats = {.size = sizeof stats};
    return bid_statistics(design, &stats) == BID_OK ? stats.bytes_slots + stats.bytes_records + stats.bytes_retired : 0;
}

static void ours_settle(void *design)
{
    bid_reclaim(design);
}

static size_t ours_lookup_many(void *design, const uint64_t *keys, size_t n, uint8_t *ids, uint8_t *lengths)
{
    return bid_lookup_many(design, keys, n, ids, BID_ID_NARROW, lengths);
}

RIVAL_LOOPS(ours)
RIVAL_INTO_ARRAYS(ours)

const struct bid_design bid_design_ours = {
    .name = "ours",
    .summary = "the table of this project: lock-free, growing, wait-free lookups",
    .create = ours_create,
    .destroy = ours_destroy,
    .lookup = ours_lookup,
    .lookup_generation = ours_lookup_generation,
    .insert = ours_insert,
    .replace = ours_replace,
    .remove = ours_remove,
    .insert_nmi = ours_insert_nmi,
    .remove_nmi = ours_remove_nmi,
    .reserve = ours_reserve,
    .shrink = ours_shrink,
    .reclaim = ours_reclaim,
    .count = ours_count,
    .resizing = ours_resizing,
    .resizes = ours_resizes,
    .keys = ours_keys,
    .hits = ours_hits,
    .chain = ours_chain,
    .into_arrays = ours_into_arrays,
    .lookup_many = ours_lookup_many,
    .mapped_bytes = ours_mapped_bytes,
    .settle = ours_settle,
    .traits = RIVAL_GROWS,
};
