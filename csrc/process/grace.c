/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The grace periods of tables in a process, by two flavors. Nobody waits for one.
 *
 * Both count in the epochs of the pins. What is retired gets the epoch r, and the epoch is counted up (E).
 *   - A reader whose pin has an epoch above r has seen the new head (H, E) and cannot reach the array.
 *   - A reader whose pin the scan does not see had not stored it when the reclaimer executed its barrier (S), so its
 *     load of the head comes later and finds the new one.
 *   - A reader that the scan sees with an epoch of r or less may be in the array: it stays.
 * So what is free has an epoch below every pin's (U).
 *
 * bid_flavor_shared adds readers without pins. The thread that observes them takes the epoch as the number n of their
 * grace period. Every array with an epoch below n had been left by then (E), and a reader that begins afterwards finds
 * a newer head. When the earlier readers have left, n is published (G). An array is freed only if its epoch is below
 * that number as well.
 */
#include "../table/update.h"

/* ------------------------------------------------------------------------------------------------ pins -- */

uint64_t bid_oldest_pin(const struct bid_pins *pins)
{
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < BID_PIN_SLOTS + BID_PIN_TEMPORARY; i++) {
        uint64_t word = bid_load(&pins->area->slots[i].word, BID_U_ACQUIRE); /* (U) pairs with pin and unpin */
        if (word & BID_PIN_DEPTH_MASK && word >> BID_PIN_DEPTH_BITS < oldest)
            oldest = word >> BID_PIN_DEPTH_BITS;
    }
    for (unsigned i = 0; i < BID_PIN_OVERFLOWS; i++)
        if (bid_load(&pins->area->overflow[i], BID_U_ACQUIRE)) /* (U) likewise */
            return 0;
    return oldest;
}

uint64_t bid_pins_over(const struct bid_pins *pins)
{
    bid_platform_barrier(pins); /* (S) pairs with the barrier in bid_pin() */
    return bid_oldest_pin(pins);
}

static uint64_t bid_process_start(struct bid_table *table)
{
    return bid_epoch_pass(table->pins);
}

static uint64_t bid_process_over(struct bid_table *table)
{
    return bid_pins_over(table->pins);
}

const struct bid_flavor bid_platform_flavor = {.start = bid_process_start, .over = bid_process_over};

/* -------------------------------------------------------------------------------------- readers elsewhere -- */

static uint64_t bid_shared_over(struct bid_table *table)
{
    uint64_t oldest = bid_pins_over(table->pins);
    uint64_t observed = bid_load(&table->observed, BID_G_ACQUIRE); /* (G) pairs with bid_grace_end() */
    return oldest < observed ? oldest : observed;
}

const struct bid_flavor bid_flavor_shared = {.start = bid_process_start, .over = bid_shared_over, .shared = 1};

uint64_t bid_grace_begin(struct bid_table *table)
{
    if (!table || !table->flavor->shared || bid_is_of_parent(table))
        return 0;
    bid_retire(table); /* what a thread that stands still has left */
    if (!bid_retired_arrays(table))
        return 0;
    return bid_load(&table->pins->epoch, BID_E_ACQUIRE) >> BID_PIN_DEPTH_BITS; /* (E) pairs with bid_epoch_pass() */
}

void bid_grace_end(struct bid_table *table, uint64_t number)
{
    uint64_t before = bid_load(&table->observed, BID_RELAXED);
    while (before < number && !bid_cas(&table->observed, &before, number, BID_G_RELEASE)) /* (G) bid_shared_over() */
        ;
}
