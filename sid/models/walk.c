/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An iteration beside a resize and an insert: the key that stays is seen once, the one that is inserted at most once. With
 * RETIRE the array that it walks is retired and may be freed. STAYS=0: no key is there before; so no lookup of one, which
 * reads head and future as well, comes between the walk of the two arrays.
 */
#ifndef STAYS
#define STAYS 1
#endif
#ifdef RETIRE
#define MODEL_FENCED_PINS 1
#endif
#include "model.h"

#include "iterate.c"

static void *resizer(void *unused)
{
    model_enter(1);
#ifdef BEGIN
    model_resize_begin();
#endif
    model_resize_complete();
#ifdef RETIRE
    bid_reclaim(&table);
#endif
    return unused;
}

static inline void *writer(void *unused)
{
    model_enter(2);
    assert(model_insert(9, 2) == BID_OK);
    return unused;
}

static int seen_stays, seen_new;

static inline int see(void *unused, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)unused;
    assert(status == BID_OK && id->bytes[0] == (key == 7 ? 1 : 2));
    *(key == 7 ? &seen_stays : &seen_new) += 1;
    return 0;
}

static void *walker(void *unused)
{
    model_enter(3);
    assert(bid_iterate(&table, see, NULL) == 0);
    assert(seen_stays == STAYS && seen_new <= 1);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    if (STAYS)
        assert(model_insert(7, 1) == BID_OK);
#ifndef BEGIN
    model_resize_begin();
#endif
    model_start(&threads, resizer);
#ifdef WRITER
    model_start(&threads, writer);
#endif
    model_start(&threads, walker);
    model_join(&threads);
    return 0;
}
