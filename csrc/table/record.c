/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records of an array: the place of a slot in its bucket, or a record elsewhere. All records of a table have the same
 * size, one to three units of 32 bytes. None is handed out twice: a place goes to the thread that sets TAKEN in its
 * EMPTY slot, and records elsewhere are handed out by a counter, and populated a step ahead of it.
 *
 * An entry that gets no place has its record elsewhere: an entry in a slot without a place, one that is replaced or
 * inserted again, and one of a thread that another key overtook on its way to the slot. A thread that was overtaken
 * keeps the place that it has claimed, and may name it in another slot. A thread that is stopped between its claim and
 * its swap wastes the place until the next resize.
 *
 * Invariants: a unit is used only below record_capacity and record_ready, so that filling it never faults; record_next
 * and record_ready only grow. The watermark carries no data, only that the kernel has made pages present, which it
 * orders itself; so it is relaxed. So is the claim of a place: what is written there is published by the swap (P).
 * Progress: lock-free; a thread stopped while it populates holds up nobody.
 */
#include "update.h"

/* Populates up to at least `end`. Several threads may populate the same units; one of them moves the watermark. */
int bid_record_ready(struct bid_table *table, struct bid_array *array, uint64_t end)
{
    uint64_t ready = bid_load(&array->record_ready, BID_RELAXED);
    while (ready < end) {
        uint64_t step = array->record_step;
        uint64_t next = array->record_first + (end - array->record_first + step - 1) / step * step;
        if (next > array->record_capacity)
            next = array->record_capacity;
        int status = bid_populate(table, bid_record_at(array->base, ready), (next - ready) * BID_RECORD_BYTES);
        if (status != BID_OK)
            return status;
        if (bid_cas(&array->record_ready, &ready, next, BID_RELAXED))
            return BID_OK;
    }
    return BID_OK;
}

/* `limit`: the end of the units that may be taken.
 * Whatever can fail comes before the addition, so that a failure takes no units, however often it is met. It decides;
 * units that others took meanwhile may put one past the end, and what it took there is lost: a few at most for each
 * thread that was under way. */
static int bid_record_elsewhere(struct bid_table *table, struct bid_array *array, uint64_t limit, int may_allocate,
                                uint64_t *index)
{
    uint64_t units = table->record_units, next = bid_load(&array->record_next, BID_RELAXED);
    if (next + units > limit)
        return BID_STEP_NO_ROOM;
    if (!may_allocate && next + units > bid_load(&array->record_ready, BID_RELAXED))
        return BID_E_WOULD_ALLOCATE;
    int status = bid_record_ready(table, array, next + units);
    if (status != BID_OK)
        return status;
    *index = bid_add(&array->record_next, units, BID_RELAXED);
    if (*index + units > array->record_capacity)
        return BID_STEP_NO_ROOM;
    if (!may_allocate && *index + units > bid_load(&array->record_ready, BID_RELAXED))
        return BID_E_WOULD_ALLOCATE;
    status = bid_record_ready(table, array, *index + units);
    BID_ASSERT(status != BID_OK || *index + units <= bid_load(&array->record_ready, BID_RELAXED));
    return status;
}

/* One of the records that are there for removes when there is no other. Returns whether it got one. */
static int bid_record_aside(struct bid_table *table, struct bid_array *array, uint64_t *index)
{
    if (bid_load(&array->aside, BID_RELAXED) >= BID_REMOVES_ASIDE)
        return 0;
    uint64_t number = bid_add(&array->aside, 1, BID_RELAXED);
    *index = array->record_first + number * table->record_units;
    return number < BID_REMOVES_ASIDE;
}

/* The slot's place, else a record elsewhere.
 * Until the array is the head, updates may take few records of it, and so few of its slots: else those that do not help
 * with the resize, from handlers, could fill it before all is copied, and the resize could never be finished. Nor are
 * the units that the copies may need for them. As with units, what decides about `early` is the addition, and it comes
 * after whatever else can fail. */
int bid_record_take(struct bid_table *table, struct bid_array *array, struct bid_deciding *at, enum bid_taker taker,
                    int may_allocate, uint64_t *index)
{
    int early = taker == BID_TAKE_UPDATE && !bid_is_head(table, array), status = BID_OK;
    if (early && bid_load(&array->early, BID_RELAXED) >= array->early_limit)
        return BID_STEP_NO_ROOM;
    if (at->place) {
        BID_ASSERT(bid_word_is_empty(at->word) && !(at->word & (BID_TAKEN | BID_FROZEN)));
        if (!bid_cas(at->slot, &at->word, at->word | BID_TAKEN, BID_RELAXED))
            return BID_STEP_AGAIN;
        at->word |= BID_TAKEN;
        *index = at->place;
    } else {
        uint64_t limit = array->record_capacity - (early ? array->record_copies : 0);
        status = bid_record_elsewhere(table, array, limit, may_allocate, index);
        if (status != BID_OK && taker == BID_TAKE_REMOVE && bid_record_aside(table, array, index))
            status = BID_OK;
    }
    if (status == BID_OK && early && bid_add(&array->early, 1, BID_RELAXED) >= array->early_limit)
        return BID_STEP_NO_ROOM;
    return status;
}
