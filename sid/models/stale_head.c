/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table takes over the seed of a head that was reseeded, while that gets a future and a key changes in it. Whoever
 * takes RESEEDED away from a head word that is stale by then must not take LEFT away with it. RESEED: or while the head
 * is only being reseeded, and the array before it has not been freed: then the table keeps its seed.
 */
#include "reseed.h"

static struct bid_array *next;

static void *adopter(void *unused)
{
    model_enter(1);
    bid_seed_adopt(&table);
    return unused;
}

static inline void *reseeder(void *unused)
{
    model_enter(2);
    begin_with(reseeded());
    model_resize_complete();
    return unused;
}

static inline void *writer(void *unused)
{
    model_enter(2);
    begin_with(next);
    assert(model_replace(7, 2) == BID_OK);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
#ifdef RESEED
    uint64_t seed = table.seed;
    model_start(&threads, adopter);
    model_start(&threads, reseeder);
    model_join(&threads);
    assert(table.seed == seed && model_lookup(7) == 1);
#else
    begin_with(reseeded());
    model_resize_complete();
    assert(bid_reclaim_retired(&table) == 0);
    next = reseeded();
    model_start(&threads, adopter);
    model_start(&threads, writer);
    model_join(&threads);
    assert(model_lookup(7) == 2);
#endif
    return 0;
}
