/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Statistics: counted from the table as it stands, by visiting every slot and looking every key up.
 */
#include "update.h"

struct bid_measure {
    const struct bid_table *table;
    struct bid_stats *stats;
};

static void bid_histogram_add(uint64_t *histogram, uint32_t value)
{
    histogram[value < BID_HISTOGRAM - 1 ? value : BID_HISTOGRAM - 1]++;
}

static int bid_measure_key(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct bid_measure *measure = argument;
    struct bid_stats *stats = measure->stats;
    struct bid_build_id again;
    struct bid_probe_cost cost;
    (void)status;
    (void)id;
    bid_lookup_cost(measure->table, key, &again, &cost);
    bid_histogram_add(stats->slots_read, cost.slots / BID_BUCKET_SLOTS);
    bid_histogram_add(stats->records_read, cost.records);
    if (cost.slots > stats->max_slots_read)
        stats->max_slots_read = cost.slots;
    if (cost.records > stats->max_records_read)
        stats->max_records_read = cost.records;
    stats->entries++;
    return 0;
}

static void bid_count_slots(const struct bid_array *head, struct bid_stats *stats)
{
    stats->slots = bid_array_slots(head);
    stats->seed = head->seed;
    for (uint64_t slot = 0; slot < stats->slots; slot++) {
        bid_word *bucket = bid_bucket(head->base, slot / BID_BUCKET_SLOTS);
        uint64_t word = bid_load(&bucket[slot % BID_BUCKET_SLOTS], BID_RELAXED);
        stats->tombstones += (word & BID_STATE_MASK) == BID_TOMBSTONE;
    }
}

/* The caller holds a pin: head and future stay. */
static void bid_count_bytes(const struct bid_array *array, struct bid_stats *stats)
{
    uint64_t units = bid_load(&array->record_ready, BID_RELAXED) - array->record_first;
    stats->bytes_slots += array->buckets * BID_BUCKET_BYTES;
    stats->bytes_records += units * BID_RECORD_BYTES;
}

static void bid_count_pins(const struct bid_pins *pins, struct bid_stats *stats)
{
    stats->membarrier = !pins->fenced;
    stats->pin_slots = BID_PIN_SLOTS;
    stats->bytes_pins = sizeof *pins->area;
    for (unsigned i = 0; i < BID_PIN_SLOTS; i++)
        stats->pin_slots_used += bid_load(&pins->area->slots[i].owner, BID_RELAXED) != 0;
}

static void bid_count_all(const struct bid_table *table, struct bid_stats *stats)
{
    struct bid_pin pin = bid_pin_update(table->pins, 1);
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    bid_iterate(table, bid_measure_key, &(struct bid_measure){table, stats});
    bid_count_slots(head, stats);
    bid_count_bytes(head, stats);
    if (future)
        bid_count_bytes(future, stats);
    bid_unpin_update(table->pins, pin);
    unsigned retired;
    stats->bytes_retired = bid_retired_bytes(table, &retired);
    stats->retired_arrays = retired;
    stats->resizes = bid_load(&table->resizes, BID_RELAXED);
    for (unsigned cause = 0; cause < BID_RESIZE_CAUSES; cause++)
        stats->resize_begun[cause] = bid_load(&table->causes[cause], BID_RELAXED);
    bid_count_pins(table->pins, stats);
}

int bid_statistics(const struct bid_table *table, struct bid_stats *stats)
{
    if (!table || !stats)
        return BID_E_NULL;
    if (!bid_size_allowed(stats->size))
        return BID_E_OPTIONS;
    struct bid_stats known = {.size = stats->size, .resizing = (uint32_t)bid_resizing(table)};
    bid_count_all(table, &known);
    for (uint64_t i = 0; i < known.size; i++) /* to the end of what the caller knows, and not beyond */
        ((uint8_t *)stats)[i] = i < sizeof known ? ((const uint8_t *)&known)[i] : 0;
    return BID_OK;
}
