/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a fork leaves behind: arrays that other threads were making, freeing or giving up. The child does not have these
 * threads, so nobody goes on with the arrays, their descriptors and their memory. The child takes them back.
 *
 * An array is an orphan if its life says that the work on it began before the last fork, and if another thread than the
 * one that forked was doing it. The thread that forked may have done so in a handler, or in a visit; it goes on with
 * its own work. A thread that makes, frees or gives up an array holds a pin meanwhile, and in the child the only pins
 * from before the fork are those of the thread that forked. So as soon as none of these is left, all work that began
 * before the fork is an orphan's.
 *
 * What is never taken back: the count of an insert that had counted its entry and not made it, and of a remove that had
 * made its swap and not counted it. Each leaves bid_count() one too high, and max_entries one entry lower.
 *
 * Progress: lock-free, one pass. An orphan belongs to whoever wins the compare-and-swap to FREEING.
 */
#include "update.h"

/* IN USE, and no lookup or update can reach it: it was made, and not published. The head is read first: an array that
 * it has moved on from since has a future by then (H). */
static int bid_array_is_private(const struct bid_table *table, const struct bid_array *array)
{
    const struct bid_array *head = bid_head(table);
    return head != array && bid_future(table, head) != array && !bid_future(table, array);
}

static int bid_array_is_orphan(const struct bid_table *table, const struct bid_array *array, uint64_t life,
                               uint64_t forks)
{
    unsigned state = life & BID_LIFE_MASK;
    if (state == BID_LIFE_FREE || state == BID_LIFE_RETIRED || bid_life_is_of(life, forks))
        return 0;
    return state != BID_LIFE_IN_USE || bid_array_is_private(table, array);
}

void bid_orphans_take_back(struct bid_table *table)
{
    uint64_t forks = bid_load(&table->pins->forks, BID_RELAXED); /* constant while this process has threads */
    struct bid_pin pin = bid_pin_update(table->pins, 1);         /* for a fork of this process */
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        struct bid_array *array = &table->arrays[i];
        uint64_t life = bid_load(&array->life, BID_L_ACQUIRE); /* (L) pairs with bid_array_make() */
        if (bid_array_is_orphan(table, array, life, forks) &&
            bid_cas(&array->life, &life, bid_life_word(forks, life >> BID_LIFE_BITS, BID_LIFE_FREEING), BID_L_ACQUIRE))
            bid_array_free(table, array);
    }
    bid_add(&table->frees, 1, BID_RELAXED);
    bid_store(&table->settled, bid_load(&table->resizes, BID_RELAXED) - 1, BID_RELAXED); /* one was about to count it */
    bid_store(&table->builder, 0, BID_RELAXED); /* that thread builds no more */
    bid_store(&table->forks, forks, BID_RELAXED);
    bid_unpin_update(table->pins, pin);
}
