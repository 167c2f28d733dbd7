/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The table of this project, as a design among others. */
#include "rivals.h"

static void *ours_create(uint64_t expected_entries, uint64_t seed)
{
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .expected_entries = expected_entries};
    if (seed) {
        options.seed = seed;
        options.flags = BID_FIXED_SEED;
    }
    return bid_create(&table, &options) == BID_OK ? table : NULL;
}

static void ours_destroy(void *design)
{
    bid_destroy(design);
}

static int ours_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    return bid_lookup_cost(design, key, id, cost);
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

static int ours_reserve(void *design, uint64_t entries)
{
    return bid_reserve(design, entries);
}

static int ours_shrink(void *design)
{
    return bid_shrink(design);
}

static int ours_resizing(const void *design)
{
    return bid_resizing(design);
}

static uint64_t ours_resizes(const void *design)
{
    return bid_resizes(design);
}

const struct bid_design bid_design_ours = {
    .name = "ours",
    .summary = "the table of this project: lock-free, growing, wait-free lookups",
    .create = ours_create,
    .destroy = ours_destroy,
    .lookup = ours_lookup,
    .insert = ours_insert,
    .replace = ours_replace,
    .remove = ours_remove,
    .reserve = ours_reserve,
    .shrink = ours_shrink,
    .resizing = ours_resizing,
    .resizes = ours_resizes,
};
