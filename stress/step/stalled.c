/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations beside a thread that stands still for good in the middle of another one, and after a fork there. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "table/update.h" /* to see where a thread is */

static void *reserves(void *unused)
{
    CHECK_STATUS(bid_reserve(stepped, 3000), BID_OK);
    return unused;
}

/* --------------------------------------------------------------------------------------------- in a resize -- */

static uint64_t places_before;

/* Places of the future array that somebody has claimed, and not named in a slot. */
static uint64_t places_taken(void)
{
    const struct bid_array *future = bid_future(stepped, bid_head(stepped));
    uint64_t taken = 0;
    for (uint64_t slot = 0; future && slot < future->buckets * BID_BUCKET_SLOTS; slot++)
        taken += bid_bucket(future->base, slot / BID_BUCKET_SLOTS)[slot % BID_BUCKET_SLOTS] == BID_TAKEN;
    return taken;
}

/* The helper has claimed a place for a copy, and no word names the place yet. */
static int is_in_a_copy(void)
{
    return places_taken() != places_before;
}

/* Removes an absent key: that needs no place of its own, so one that it takes is a copy's. */
static void *helps(void *unused)
{
    bid_remove(stepped, inode_key(3500));
    return unused;
}

static void prepare_stalled_helper(void)
{
    prepare_key();
    prepare_resize();
    places_before = places_taken();
    let_stand(helps, is_in_a_copy);
}

int has_not_left(void)
{
    return bid_resizing(stepped) && !(bid_load(&stepped->head, BID_RELAXED) & BID_HEAD_LEFT);
}

/* The stalled thread has given the head a future, and has not set LEFT. */
void prepare_not_left(void)
{
    prepare_key();
    let_stand(reserves, has_not_left);
}

/* ------------------------------------------------------------------------------------------------- orphans -- */

static struct bid_array *array_in(enum bid_life state)
{
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        if ((bid_load(&stepped->arrays[i].life, BID_RELAXED) & BID_LIFE_MASK) == state)
            return &stepped->arrays[i];
    return NULL;
}

static void *reserves_more(void *unused)
{
    CHECK_STATUS(bid_reserve(stepped, 20000), BID_OK);
    return unused;
}

static int is_building(void)
{
    const struct bid_array *array = array_in(BID_LIFE_BUILDING);
    return array && array->mapping;
}

/* The thread has made an array, and not published it. */
static int has_built(void)
{
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        if ((bid_load(&stepped->arrays[i].life, BID_RELAXED) & BID_LIFE_MASK) == BID_LIFE_IN_USE &&
            &stepped->arrays[i] != bid_head(stepped) && !bid_resizing(stepped))
            return 1;
    return 0;
}

static int is_freeing(void)
{
    return array_in(BID_LIFE_FREEING) != NULL;
}

static void *reclaims(void *unused)
{
    bid_reclaim(stepped);
    return unused;
}

/* The head has moved on from an array that is not retired yet. */
static int has_moved(void)
{
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        const struct bid_array *array = &stepped->arrays[i];
        if ((bid_load(&array->life, BID_RELAXED) & BID_LIFE_MASK) == BID_LIFE_IN_USE && bid_is_left(array) &&
            !bid_is_head(stepped, array))
            return 1;
    }
    return 0;
}

static void prepare_orphans(void)
{
    prepare_key();
    prepare_retired();
    let_stand(reclaims, is_freeing);
    let_stand(reserves_more, is_building);
    let_stand(reserves_more, has_built);
    let_stand(reserves_more, has_moved);
}

/* One thread has built an array, and a resize by another array is half done. */
static void prepare_orphans_in_resize(void)
{
    prepare_key();
    let_stand(reserves, has_built);
    prepare_resize();
}

/* The child of a fork takes back the arrays of those threads: the table keeps its head and its future only. */
static int takes_back(void)
{
    uint64_t in_use = 0;
    bid_reclaim(stepped);
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        in_use += bid_load(&stepped->arrays[i].life, BID_RELAXED) != BID_LIFE_FREE;
    return in_use == 1 + (uint64_t)bid_resizing(stepped) ? insert(stepped, inode_key(3000), 1, 20) : BID_E_RETIRED;
}

static int fork_and_take_back(void)
{
    if (bid_retired_arrays(stepped) != 2)
        return BID_E_NULL; /* two arrays: the one that is being freed, and the one that is to be retired */
    return in_child(takes_back);
}

static int fork_in_resize_and_take_back(void)
{
    return in_child(takes_back);
}

/* The child of a fork must leave a table alone that its parent shares with others. */
static int is_of_parent(void)
{
    EXPECT(insert_key(), BID_E_REGION);
    EXPECT(remove_key(), BID_E_REGION);
    EXPECT(reserve(), BID_E_REGION);
    EXPECT(bid_shrink(stepped), BID_E_REGION);
    EXPECT((int)bid_reclaim(stepped), 0);
    EXPECT((int)bid_grace_begin(stepped), 0);
    bid_destroy(stepped);
    return look_up();
}

static int fork_from_shared(void)
{
    return in_child(is_of_parent);
}

/* --------------------------------------------------------------------------------------------------- pins -- */

/* All pin slots are taken, so the next reader is only counted, and nothing says how old its pin is. */
static void prepare_reader_in_overflow(void)
{
    prepare_overflow();
    let_read_for_good(second);
    prepare_retired();
}

static int reclaim_nothing(void)
{
    return bid_reclaim(stepped) ? BID_OK : BID_E_NULL;
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options shared = {.expected_entries = 1, .id_size = BID_ID_MAX, .flavor = &bid_flavor_shared};

const struct scenario stalled_scenarios[] = {
    {"help-stalled", "finish a resize whose helper stands still in a copy", THREADED, &small, prepare_stalled_helper,
     reserve, 1, 1, BID_OK},
    {"insert-not-left", "insert beside a thread that has begun a resize, and not said so", THREADED, &small,
     prepare_not_left, insert_key, 1, 1, BID_EXISTS},
    {"reserve-not-left", "reserve beside the same thread", LONG_ONES, &small, prepare_not_left, reserve, 1, 1, BID_OK},
    {"fork-orphans", "fork beside threads that make and free arrays", LONG_ONES, &small, prepare_orphans,
     fork_and_take_back, 1, 1, BID_OK},
    {"fork-orphans-resizing", "the same across a resize", LONG_ONES, &small, prepare_orphans_in_resize,
     fork_in_resize_and_take_back, 1, 1, BID_OK},
    {"fork-shared", "updates of a table that others read, in the child of a fork", LIMITED, &shared, prepare_key,
     fork_from_shared, 1, 1, BID_OK},
    {"reclaim-overflow", "nothing can be freed for a reader that is counted", LIMITED, &small,
     prepare_reader_in_overflow, reclaim_nothing, 1, 1, BID_OK},
    {0},
};
