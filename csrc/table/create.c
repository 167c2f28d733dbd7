/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tables: options, create, destroy.
 */
#include "update.h"

/* Takes over what this version knows of a caller's options, whose size says how many bytes he knows. */
static int bid_options_read(struct bid_options *options, const struct bid_options *given)
{
    if (!bid_size_allowed(given->size))
        return BID_E_OPTIONS;
    *options = (struct bid_options){0};
    for (uint64_t i = 0; i < given->size; i++)
        if (i < sizeof *options)
            ((uint8_t *)options)[i] = ((const uint8_t *)given)[i];
        else if (((const uint8_t *)given)[i])
            return BID_E_OPTIONS;
    options->size = sizeof *options;
    return BID_OK;
}

static int bid_options_check(const struct bid_options *options)
{
    if (options->expected_entries > BID_ENTRIES_MAX || options->max_entries > BID_ENTRIES_MAX)
        return BID_E_TOO_MANY;
    if (options->flags & ~(uint32_t)(BID_FIXED_SEED | BID_MLOCK | BID_FENCED_PINS) || options->id_size > BID_ID_MAX ||
        (options->seed && !(options->flags & BID_FIXED_SEED)) ||
        (options->max_entries && options->expected_entries > options->max_entries))
        return BID_E_OPTIONS;
    const struct bid_allocator *allocator = options->allocator;
    if (allocator && (!allocator->map || !allocator->populate || !allocator->unmap))
        return BID_E_NULL;
    return BID_OK;
}

/* The first array, and everything else that can fail. */
static int bid_table_fill(struct bid_table *table)
{
    struct bid_options *options = &table->options;
    struct bid_array *head;
    struct bid_array_plan plan = {
        .size = options->expected_entries ? bid_size_for_room(options->expected_entries) : BID_SIZE_START,
        .seed = options->flags & BID_FIXED_SEED ? options->seed : bid_platform_random(),
    };
    if (!options->id_size)
        options->id_size = BID_ID_NARROW;
    if (!options->max_entries)
        options->max_entries = BID_ENTRIES_MAX;
    table->record_units = bid_record_units(options->id_size);
    const struct bid_allocator *from = options->allocator ? options->allocator : &bid_platform_allocator;
    table->allocator = (struct bid_allocator){from->context, from->map, from->populate, from->unmap};
    table->flavor = options->flavor ? options->flavor : &bid_platform_flavor;
    int status = bid_platform_pins(!!(options->flags & BID_FENCED_PINS), !!(options->flags & BID_MLOCK), &table->pins);
    if (status != BID_OK)
        return status;
    if (!table->pins->fenced)
        table->simple_pins = table->pins->area->slots;
    bid_store(&table->forks, bid_load(&table->pins->forks, BID_RELAXED), BID_RELAXED);
    bid_store(&table->floor_entries, options->expected_entries, BID_RELAXED);
    bid_plan_records(table, 0, options->expected_entries, &plan);
    status = bid_array_make(table, &plan, &head);
    if (status != BID_OK)
        return status;
    bid_store(&table->seed, plan.seed, BID_RELAXED);
    bid_store(&table->head, head->word, BID_RELAXED); /* the caller publishes the table */
    return BID_OK;
}

int bid_create(struct bid_table **result, const struct bid_options *options)
{
    static const struct bid_options defaults = {.size = sizeof defaults};
    if (!result)
        return BID_E_NULL;
    *result = NULL;
    struct bid_options known;
    int status = bid_options_read(&known, options ? options : &defaults);
    if (status == BID_OK)
        status = bid_options_check(&known);
    if (status != BID_OK)
        return status;
    const struct bid_allocator *allocator = known.allocator ? known.allocator : &bid_platform_allocator;
    struct bid_table *table = allocator->map(allocator->context, sizeof *table, sizeof *table, 0);
    if (!table)
        return BID_E_NO_MEMORY;
    status = allocator->populate(allocator->context, table, sizeof *table, !!(known.flags & BID_MLOCK));
    if (status == BID_OK) {
        table->options = known;
        status = bid_table_fill(table);
    }
    void *memory = table;
    if (status == BID_OK)
        *result = table;
    else
        allocator->unmap(allocator->context, &memory, sizeof *table);
    return status;
}

void bid_destroy(struct bid_table *table)
{
    if (!table || bid_is_of_parent(table))
        return;
    /* After a fork also what a thread was at that this process does not have. */
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        if (bid_load(&table->arrays[i].life, BID_RELAXED) != BID_LIFE_FREE)
            bid_array_free(table, &table->arrays[i]);
    struct bid_allocator allocator = table->allocator; /* it is in what is given back */
    void *memory = table;
    allocator.unmap(allocator.context, &memory, sizeof *table);
}
