/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records of an array: handed out by a counter and never twice, populated a step ahead of it. All records of a table
 * have the same size, one to three units of 32 bytes.
 *
 * Invariants: a unit is used only below record_capacity and record_ready, so that filling it never faults; record_next
 * and record_ready only grow. The watermark carries no data, only that the kernel has made pages present, which it
 * orders itself; so it is relaxed. Progress: lock-free; a thread stopped while it populates holds up nobody.
 */
#include "update.h"

/* Populates up to at least `need` units. Several threads may populate the same units; one of them moves the watermark.
 * */
int bid_record_ready(struct bid_table *table, struct bid_array *array, uint64_t need)
{
    uint64_t ready = bid_load(&array->record_ready, BID_RELAXED);
    while (ready < need) {
        uint64_t next = (need + array->record_step - 1) / array->record_step * array->record_step;
        if (next > array->record_capacity)
            next = array->record_capacity;
        int status = bid_populate(table, &array->records[ready], (next - ready) * BID_RECORD_BYTES);
        if (status != BID_OK)
            return status;
        if (bid_cas(&array->record_ready, &ready, next, BID_RELAXED))
            return BID_OK;
    }
    return BID_OK;
}

/* While the array is being filled by a resize, the units that the copies may need are not for others. */
static uint64_t bid_record_limit(const struct bid_table *table, const struct bid_array *array, int copying)
{
    if (copying || bid_load(&table->head, BID_RELAXED) == array)
        return array->record_capacity;
    return array->record_capacity - array->record_copies;
}

/* Until the array is the head, updates may take few of its units, and so few of its slots: else those that do not help
 * with the resize, from handlers, could fill it before all is copied, and the resize could never be finished. */
static int bid_record_is_early(const struct bid_table *table, const struct bid_array *array, int copying)
{
    return !copying && bid_load(&table->head, BID_RELAXED) != array;
}

/* Whatever can fail comes before the additions, so that a failure takes no units, however often it is met. They decide;
 * units that others took meanwhile may put one past the end, and what it took there is lost: a few at most for each
 * thread that was under way. */
int bid_record_take(struct bid_table *table, struct bid_array *array, unsigned records, int copying, int may_allocate,
                    uint64_t *index)
{
    uint64_t units = (uint64_t)records * table->record_units;
    uint64_t next = bid_load(&array->record_next, BID_RELAXED);
    int early = bid_record_is_early(table, array, copying);
    if (next + units > bid_record_limit(table, array, copying) ||
        (early && bid_load(&array->early, BID_RELAXED) + units > array->early_limit))
        return BID_STEP_NO_ROOM;
    if (!may_allocate && next + units > bid_load(&array->record_ready, BID_RELAXED))
        return BID_E_WOULD_ALLOCATE;
    int status = bid_record_ready(table, array, next + units);
    if (status != BID_OK)
        return status;
    if (early && bid_add(&array->early, units, BID_RELAXED) + units > array->early_limit)
        return BID_STEP_NO_ROOM;
    *index = bid_add(&array->record_next, units, BID_RELAXED);
    if (*index + units > array->record_capacity)
        return BID_STEP_NO_ROOM;
    if (!may_allocate && *index + units > bid_load(&array->record_ready, BID_RELAXED))
        return BID_E_WOULD_ALLOCATE;
    status = bid_record_ready(table, array, *index + units);
    BID_ASSERT(status != BID_OK || *index + units <= bid_load(&array->record_ready, BID_RELAXED));
    BID_ASSERT(*index % table->record_units == 0);
    return status;
}

int bid_record_prepare(struct bid_table *table, struct bid_array *array, uint64_t records)
{
    uint64_t units = records * table->record_units;
    uint64_t next = bid_load(&array->record_next, BID_RELAXED);
    if (next + units > array->record_capacity)
        return BID_STEP_NO_ROOM;
    return bid_record_ready(table, array, next + units);
}
