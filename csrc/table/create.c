/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tables: options, create, destroy.
 */
#include "update.h"

static int bid_options_check(const struct bid_options *options)
{
    if (options->size != sizeof *options)
        return BID_E_OPTIONS_SIZE;
    if (options->flags & ~(uint32_t)(BID_FIXED_SEED | BID_MLOCK | BID_FENCED_PINS))
        return BID_E_OPTION_FLAGS;
    if (options->id_size > BID_ID_MAX)
        return BID_E_OPTION_ID_SIZE;
    if (options->seed && !(options->flags & BID_FIXED_SEED))
        return BID_E_OPTION_SEED;
    return options->expected_entries > BID_ENTRIES_MAX ? BID_E_TOO_MANY : BID_OK;
}

/* Whether the expected entries fit under the byte limit, or one, with IDs of at most BID_ID_NARROW bytes, and the array
 * that replaces the first one beside it. */
static int bid_limit_has_room(const struct bid_table *table)
{
    uint64_t limit = table->options.byte_limit, expected = table->options.expected_entries;
    if (!expected)
        expected = 1;
    return !limit ||
           bid_load(&table->bytes, BID_RELAXED) + expected * BID_RECORD_BYTES + bid_rebuild_charge(table, expected) <=
               limit;
}

/* The first array, and everything else that can fail. */
static int bid_table_fill(struct bid_table *table)
{
    struct bid_options *options = &table->options;
    struct bid_array *head;
    struct bid_array_plan plan = {
        .log2_buckets =
            options->expected_entries ? bid_log2_for_room(options->expected_entries) : bid_log2_start(table),
        .seed = options->flags & BID_FIXED_SEED ? options->seed : bid_platform_random(),
    };
    if (!options->id_size)
        options->id_size = BID_ID_MAX;
    int status = bid_platform_pins(!!(options->flags & BID_FENCED_PINS), !!(options->flags & BID_MLOCK), &table->pins);
    if (status != BID_OK)
        return status;
    if (!table->pins->fenced)
        table->simple_pins = table->pins->area->slots;
    bid_store(&table->forks, bid_load(&table->pins->forks, BID_RELAXED), BID_RELAXED);
    bid_store(&table->floor_entries, options->expected_entries, BID_RELAXED);
    bid_plan_records(table, 0, options->expected_entries, &plan);
    status = bid_array_make(table, &plan, &head);
    if (status == BID_OK)
        bid_store(&table->head, head, BID_RELAXED); /* the caller publishes the table */
    if (status == BID_OK && !bid_limit_has_room(table)) {
        bid_array_free(table, head);
        status = BID_E_BYTE_LIMIT;
    }
    return status == BID_E_BYTE_LIMIT ? BID_E_OPTION_LIMIT : status;
}

int bid_create(struct bid_table **result, const struct bid_options *options)
{
    static const struct bid_options defaults = {.size = sizeof defaults};
    if (!result)
        return BID_E_NULL;
    *result = NULL;
    if (!options)
        options = &defaults;
    int status = bid_options_check(options);
    if (status != BID_OK)
        return status;
    struct bid_table *table = bid_platform_map(sizeof *table, 0);
    if (!table)
        return BID_E_NO_MEMORY;
    status = bid_platform_populate(table, sizeof *table, !!(options->flags & BID_MLOCK));
    if (status == BID_OK) {
        table->options = *options;
        status = bid_table_fill(table);
    }
    if (status != BID_OK) {
        bid_platform_unmap(table, sizeof *table);
        return status;
    }
    *result = table;
    return BID_OK;
}

void bid_destroy(struct bid_table *table)
{
    if (!table)
        return;
    for (unsigned i = 0; i < BID_ARRAYS;
         i++) /* after a fork also what a thread was at that this process does not have */
        if (bid_load(&table->arrays[i].life, BID_RELAXED) != BID_LIFE_FREE)
            bid_array_free(table, &table->arrays[i]);
    bid_platform_unmap(table, sizeof *table);
}
