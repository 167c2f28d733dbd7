/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Reclamation: arrays that were left are retired, and freed after a grace period. Nobody waits for one.
 *
 * The table's flavor numbers grace periods, and says which are over. The flavor knows which readers there are, and has
 * the argument (process/grace.c, kernel/platform_kernel.c). An array is retired when the head has moved on from it: it
 * then gets a number. It is freed when the grace period of that number is over.
 *
 * Progress: lock-free, one pass. An array belongs to the thread that wins the compare-and-swap to FREEING. The thread
 * holds a pin meanwhile, so the child of a fork knows whether its own thread is freeing the array (orphan.c). That pin
 * is newer than what the thread frees.
 */
#include "update.h"

/* Left by the head. An array gets a future only while it is the head, so with a future it is the head or was it. The
 * head may be read relaxed: whoever pins the epoch that follows reads a head that is not older than this one (E). */
static int bid_array_is_unlinked(const struct bid_table *table, const struct bid_array *array)
{
    uint64_t future = bid_load(&array->future, BID_F_ACQUIRE); /* (F) pairs with bid_resize_build() */
    return future && !bid_is_head(table, array);
}

void bid_retire(struct bid_table *table)
{
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        struct bid_array *array = &table->arrays[i];
        uint64_t life = bid_load(&array->life, BID_L_ACQUIRE); /* (L) pairs with bid_array_make() */
        if ((life & BID_LIFE_MASK) != BID_LIFE_IN_USE || !bid_array_is_unlinked(table, array))
            continue;
        uint64_t epoch = table->flavor->start(table); /* (E) */
        /* (L) pairs with the fence in over(): see bid_reclaim_retired(). If it fails, another thread did it. */
        bid_cas(&array->life, &life, epoch << BID_LIFE_BITS | BID_LIFE_RETIRED, BID_L_RELEASE);
    }
}

uint64_t bid_retired_bytes(const struct bid_table *table, unsigned *arrays)
{
    uint64_t bytes = 0, forks = bid_load(&table->pins->forks, BID_RELAXED);
    unsigned number = 0;
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        const struct bid_array *array = &table->arrays[i];
        uint64_t life = bid_load(&array->life, BID_RELAXED); /* no order makes it a moment's sum: arrays come and go */
        unsigned state = life & BID_LIFE_MASK;
        if (state == BID_LIFE_RETIRED || (state == BID_LIFE_FREEING && bid_life_is_of(life, forks)) ||
            (state == BID_LIFE_IN_USE && bid_array_is_unlinked(table, array))) {
            bytes += bid_array_bytes(array);
            number++;
        }
    }
    if (arrays)
        *arrays = number;
    return bytes;
}

unsigned bid_retired_arrays(const struct bid_table *table)
{
    unsigned number;
    bid_retired_bytes(table, &number);
    return number;
}

/* Frees the array if that is still its life, which is RETIRED. */
static void bid_retired_free(struct bid_table *table, struct bid_array *array, uint64_t life)
{
    uint64_t forks = bid_load(&table->pins->forks, BID_RELAXED);
    struct bid_pin pin = bid_pin_update(table->pins, 1);
    /* Relaxed: a life that is still the same was acquired by the fence in over(): see bid_reclaim(). */
    if (bid_cas(&array->life, &life, bid_life_word(forks, life >> BID_LIFE_BITS, BID_LIFE_FREEING), BID_RELAXED)) {
        bid_array_free(table, array);
        bid_add(&table->frees, 1, BID_RELAXED);
    }
    bid_unpin_update(table->pins, pin);
}

/* Arrays that other threads were making or freeing when the process forked are orphans in the child, once no pin from
 * before the fork is left. */
static void bid_orphans_consider(struct bid_table *table)
{
    uint64_t forks = bid_load(&table->pins->forks, BID_RELAXED); /* constant while this process has threads */
    if (__builtin_expect(bid_load(&table->forks, BID_RELAXED) != forks, 0) &&
        table->flavor->over(table) > bid_load(&table->pins->forked, BID_RELAXED))
        bid_orphans_take_back(table);
}

/*
 * The seed of a head that was reseeded becomes the table's, and lookups may take the simple form again.
 *
 * A lookup in simple form reads a head word without RESEEDED, then the table's seed, which has to be that of the array.
 * So the seed may change when no lookup is left that read the word of an array with the old one: the head is RESEEDED,
 * and what came before it has been freed. It cannot change again under this pin, which keeps the head from being freed:
 * a store that comes late stores what is there already, or what another thread is about to store. The lives that say
 * what has been freed may be read relaxed: the store depends on them, so it does not come before.
 * The release carries the seed (H): who reads the word without RESEEDED sees it.
 */
static void bid_seed_adopt(struct bid_table *table)
{
    if ((bid_load(&table->head, BID_RELAXED) & BID_HEAD_GENERAL) != BID_HEAD_RESEEDED)
        return;
    struct bid_pin pin = bid_pin_update(table->pins, 1);
    uint64_t head = bid_load(&table->head, BID_H_ACQUIRE); /* (H) as in bid_head() */
    if ((head & BID_HEAD_GENERAL) == BID_HEAD_RESEEDED && !bid_retired_arrays(table)) {
        bid_store(&table->seed, bid_array_of(table, head)->seed, BID_RELAXED);
        bid_cas(&table->head, &head, head & ~BID_HEAD_RESEEDED, BID_H_RELEASE); /* (H) pairs with loads of the head */
    }
    bid_unpin_update(table->pins, pin);
}

/* The lives are read before the question what is over, and the compare-and-swap fails if one has changed since. */
static uint64_t bid_reclaim_retired(struct bid_table *table)
{
    uint64_t lives[BID_ARRAYS], bytes = 0;
    uint64_t resizes = bid_load(&table->resizes, BID_E_ACQUIRE); /* (E) pairs with bid_resize_finish() */
    int any = 0;
    bid_retire(table);
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        lives[i] = bid_load(&table->arrays[i].life, BID_RELAXED); /* the fence in over() acquires what that says (L) */
        any |= (lives[i] & BID_LIFE_MASK) == BID_LIFE_RETIRED;
    }
    if (any) { /* else: what another thread is freeing right now waits for no reader */
        uint64_t over = table->flavor->over(table);
        for (unsigned i = 0; i < BID_ARRAYS; i++) {
            uint64_t life = lives[i];
            if ((life & BID_LIFE_MASK) == BID_LIFE_RETIRED && life >> BID_LIFE_BITS < over)
                bid_retired_free(table, &table->arrays[i], life);
        }
        bytes = bid_retired_bytes(table, NULL);
    }
    bid_store(&table->settled, bytes ? resizes - 1 : resizes, BID_RELAXED);
    return bytes;
}

uint64_t bid_reclaim(struct bid_table *table)
{
    if (bid_is_of_parent(table))
        return 0;
    bid_orphans_consider(table);
    uint64_t bytes = bid_reclaim_retired(table);
    if (!bytes)
        bid_seed_adopt(table);
    return bytes;
}

int bid_lacks_memory(int status)
{
    return status == BID_E_NO_MEMORY || status == BID_E_RETIRED || status == BID_E_MLOCK;
}

int bid_reclaim_some(struct bid_table *table)
{
    uint64_t frees = bid_load(&table->frees, BID_RELAXED);
    bid_reclaim(table);
    return bid_load(&table->frees, BID_RELAXED) != frees;
}
