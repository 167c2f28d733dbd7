/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The child of a fork, as its memory is then: an array IN USE that another thread had made and not published. Two
 * threads of the child take it back, of which one makes an array in its place: it is freed once.
 */
#include "prepared.h"

static void *reclaimer(void *unused)
{
    model_enter(1);
    bid_orphans_take_back(&table);
    return unused;
}

static void *maker(void *unused)
{
    model_enter(2);
    bid_orphans_take_back(&table);
    struct bid_pin pin = bid_pin(table.pins);
    struct bid_array *array = prepared(1);
    bid_unpin(table.pins, pin);
    assert(bid_life_is_of(bid_load(&array->life, BID_RELAXED), 1));
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    struct bid_array *orphan = prepared(1);
    bid_store(&model_pins.forks, 1, BID_RELAXED);
    model_start(&threads, reclaimer);
    model_start(&threads, maker);
    model_join(&threads);
    uint64_t life = bid_load(&orphan->life, BID_RELAXED);
    assert((life & BID_LIFE_MASK) == BID_LIFE_FREE || bid_life_is_of(life, 1));
    assert(model_lookup(7) == 1);
    return 0;
}
