/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Threads that stand still at the worst moments of an update or a resize: nothing else may come of it than what comes
 * of any other moment. The table's sources are compiled into this program, with a call of ours at those moments.
 */
#define bid_deciding_find stopping_deciding_find
#define bid_record_take stopping_record_take
#define bid_resize_complete stopping_resize_complete
#define bid_array_make stopping_array_make
#define bid_array_free stopping_array_free
#include "resize.c"
#include "update.c"
#undef bid_deciding_find
#undef bid_record_take
#undef bid_resize_complete
#undef bid_array_make
#undef bid_array_free

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

void bid_deciding_find(const struct bid_table *table, const struct bid_array *array, uint64_t key,
                       struct bid_deciding *at);
int bid_record_take(struct bid_table *table, struct bid_array *array, struct bid_deciding *at, enum bid_taker taker,
                    int may_allocate, uint64_t *index);
int bid_resize_complete(struct bid_table *table, struct bid_array *array);
int bid_array_make(struct bid_table *table, const struct bid_array_plan *plan, struct bid_array **array);
void bid_array_free(struct bid_table *table, struct bid_array *array);

enum moment {
    NOWHERE,
    SLOT_FOUND,   /* the slot is known, and that the array has no future */
    RECORD_TAKEN, /* all that is left is the swap of the slot word */
};

#define LATE 140 /* threads: more than the least array has slots */

static _Thread_local enum moment stops_at;
static sem_t stopped, go_on, done;

static void stop(enum moment moment)
{
    if (stops_at != moment)
        return;
    stops_at = NOWHERE;
    sem_post(&stopped);
    sem_wait(&go_on);
}

void stopping_deciding_find(const struct bid_table *table, const struct bid_array *array, uint64_t key,
                            struct bid_deciding *at)
{
    bid_deciding_find(table, array, key, at);
    stop(SLOT_FOUND);
}

int stopping_record_take(struct bid_table *table, struct bid_array *array, struct bid_deciding *at,
                         enum bid_taker taker, int may_allocate, uint64_t *index)
{
    int status = bid_record_take(table, array, at, taker, may_allocate, index);
    stop(RECORD_TAKEN);
    return status;
}

static void (*meanwhile)(
    struct bid_table *table); /* before a reserve or shrink decides, and before it does what it began */

int stopping_resize_complete(struct bid_table *table, struct bid_array *array)
{
    if (meanwhile)
        meanwhile(table);
    return bid_resize_complete(table, array);
}

static void (*when_made)(struct bid_table *table, const struct bid_array_plan *plan); /* an array, and not published */
static void (*when_given_up)(void);                                                   /* one that was too small */
static int no_memory;                                                                 /* for arrays */

int stopping_array_make(struct bid_table *table, const struct bid_array_plan *plan, struct bid_array **array)
{
    int status = no_memory ? BID_E_NO_MEMORY : bid_array_make(table, plan, array);
    if (when_made)
        when_made(table, plan);
    return status;
}

void stopping_array_free(struct bid_table *table, struct bid_array *array)
{
    bid_array_free(table, array);
    if (when_given_up)
        when_given_up();
}

/* ------------------------------------------------------------------------------------------ late inserts -- */

struct late {
    struct bid_table *table;
    enum moment moment;
    pthread_t threads[LATE];
    uint64_t key;
};

static struct late late;

static void *insert_late(void *argument)
{
    stops_at = late.moment;
    CHECK_STATUS(insert(late.table, (uintptr_t)argument, 1, 20), BID_OK);
    sem_post(&done);
    return NULL;
}

/* The first key that is inserted late; those before are there. */
#define FIRST 1000

static void start_late(struct bid_table *table, enum moment moment)
{
    late.table = table;
    late.moment = moment;
    for (uintptr_t i = 0; i < LATE; i++) {
        CHECK(pthread_create(&late.threads[i], NULL, insert_late, (void *)(FIRST + i)) == 0);
        sem_wait(&stopped);
    }
}

/* A table that has had inserts at the worst moments takes every update. */
static void is_well(struct bid_table *table, uint64_t entries)
{
    CHECK(bid_count(table) == entries && statistics(table).entries == entries);
    CHECK_STATUS(shrink_table(table), BID_OK);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK_STATUS(insert(table, 1000000 + i, 1, 20), BID_OK);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK_STATUS(bid_remove(table, 1000000 + i), BID_OK);
    CHECK(bid_count(table) == entries && !bid_resizing(table));
}

static void let_all_go(struct bid_table *table)
{
    if (!bid_resizing(table))
        return;
    meanwhile = NULL;
    for (int i = 0; i < LATE; i++)
        sem_post(&go_on);
    for (int i = 0; i < LATE; i++)
        sem_wait(&done);
}

/* All had passed the look at how many entries the array may have when bid_shrink() built one for none. */
static void many_between_look_and_swap(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    start_late(table, RECORD_TAKEN);
    meanwhile = let_all_go;
    CHECK_STATUS(shrink_table(table), BID_OK);
    for (int i = 0; i < LATE; i++)
        CHECK(pthread_join(late.threads[i], NULL) == 0);
    is_well(table, LATE);
    bid_destroy(table);
}

/* One after the other they go on when the resize has begun, and what they have inserted is removed, in the future
 * array: that makes no room in the old one, or in the end more would have to be copied than the future array can
 * hold. */
static void let_one_by_one_go(struct bid_table *table)
{
    if (!bid_resizing(table))
        return;
    meanwhile = NULL;
    for (uint64_t key = 1; key <= 8; key++)
        CHECK_STATUS(bid_remove_nmi(table, key), BID_OK);
    for (int i = 0; i < LATE; i++) {
        sem_post(&go_on);
        sem_wait(&done);
        struct bid_build_id id; /* a lookup seals nothing */
        for (uint64_t key = FIRST; key < FIRST + LATE; key++)
            if (bid_lookup(table, key, &id) == BID_OK)
                CHECK_STATUS(bid_remove_nmi(table, key), BID_OK);
    }
}

static void many_before_the_look(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t key = 1; key <= 8; key++)
        CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
    start_late(table, SLOT_FOUND);
    meanwhile = let_one_by_one_go;
    CHECK_STATUS(shrink_table(table), BID_OK);
    for (int i = 0; i < LATE; i++)
        CHECK(pthread_join(late.threads[i], NULL) == 0);
    is_well(table, bid_count(table));
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------- reserve against shrink -- */

static unsigned shrinks;

static void give_up_the_reservation(struct bid_table *table)
{
    CHECK(++shrinks < 10); /* or it builds the same again and again */
    bid_store(&table->floor_entries, 0, BID_RELAXED);
}

/* What bid_reserve() asks for, it gets, although a bid_shrink() gives it up as soon as it is under way. */
static void reserve_against_shrink(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    meanwhile = give_up_the_reservation;
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    meanwhile = NULL;
    uint8_t id[20] = {1};
    for (uint64_t i = 0; i < 100000; i++)
        CHECK_STATUS(bid_insert_nmi(table, inode_key(i), 0, id, sizeof id), BID_OK);
    bid_destroy(table);
}

/* ----------------------------------------------------------------- a reservation that fails when it is made -- */

/* The room that the array of a reserve has is used up when the reserve looks at it again, and memory with it. */
static void room_is_used_up(struct bid_table *table)
{
    if (bid_floor(table) < 100000)
        return;
    bid_store(&bid_head(table)->live_limit, 0, BID_RELAXED);
    no_memory = 1;
}

/* So does another thread, which keeps what it asks for. */
static void another_reserves(struct bid_table *table)
{
    if (bid_floor(table) < 100000)
        return;
    meanwhile = NULL;
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    room_is_used_up(table);
}

static void a_failed_reserve_asks_for_nothing(void (*at_the_second_look)(struct bid_table *), uint64_t kept)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20, .expected_entries = 100});
    meanwhile = at_the_second_look;
    CHECK_STATUS(bid_reserve(table, 100000), BID_E_NO_MEMORY);
    CHECK(bid_floor(table) == kept);
    no_memory = 0;
    meanwhile = NULL;
    bid_destroy(table);
}

static void a_failed_shrink_gives_nothing_up(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    no_memory = 1;
    CHECK_STATUS(bid_shrink(table), BID_E_NO_MEMORY);
    CHECK(bid_floor(table) == 100000);
    no_memory = 0;
    CHECK_STATUS(bid_shrink(table), BID_OK);
    CHECK(bid_floor(table) == 0);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------ always one more time -- */

#define HANDLERS_KEY(number) inode_key(100000 + (number) % 16)

static unsigned turns;

/* What handlers do while a resize is under way: they leave tombstones in the future array. */
static void updates_from_handlers(struct bid_table *table)
{
    uint8_t id[20] = {1};
    CHECK(++turns < 20);
    for (unsigned i = 0; bid_resizing(table) && i < 16; i++) {
        CHECK(bid_insert_nmi(table, HANDLERS_KEY(i), 0, id, sizeof id) >= 0);
        CHECK_STATUS(bid_remove_nmi(table, HANDLERS_KEY(i)), BID_OK);
    }
}

/* What is asked for just fits an array; what handlers use up of that does not mean the same array again. */
static void reserve_beside_handlers(uint64_t entries)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint8_t id[20] = {1};
    uint64_t resizes = bid_resizes(table);
    for (uint64_t i = 0; i < 900; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    turns = 0;
    meanwhile = updates_from_handlers;
    CHECK_STATUS(bid_reserve(table, entries), BID_OK);
    CHECK(bid_resizes(table) <= resizes + 2);
    CHECK(bid_shrink(table) >= 0);
    meanwhile = NULL;
    CHECK_STATUS(bid_reserve(table, entries), BID_OK);
    for (uint64_t i = 900; i < entries; i++)
        CHECK_STATUS(bid_insert_nmi(table, inode_key(i), 0, id, sizeof id), BID_OK);
    bid_destroy(table);
}

/* Another thread, whose arrays are smaller and so ready sooner. */
static void another_is_first(struct bid_table *table, const struct bid_array_plan *plan)
{
    (void)plan;
    CHECK(++turns < 20);
    when_made = NULL;
    CHECK_STATUS(insert(table, HANDLERS_KEY(0), 1, 20), BID_OK);
    CHECK_STATUS(bid_remove(table, HANDLERS_KEY(0)), BID_OK);
    CHECK_STATUS(bid_shrink(table), BID_OK);
    when_made = another_is_first;
}

static void reserve_against_shrinks(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    turns = 0;
    when_made = another_is_first;
    CHECK_STATUS(bid_reserve(table, 100000), BID_E_BUSY);
    CHECK(turns == BID_REBUILDS_MAX);
    when_made = NULL;
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    bid_destroy(table);
}

/* Entries that come as soon as an array has been planned for those that are there, and have gone when the next one
 * is. */
static uint64_t visitors;
static struct bid_table *visited;

static void visitors_come(struct bid_table *table, const struct bid_array_plan *plan)
{
    static uint32_t last;
    CHECK(!turns || plan->size > last);
    last = plan->size;
    visitors = ++turns < 6 ? bid_plan_entries(plan) + 1 : 0;
    visited = table;
    bid_add(&table->count, visitors, BID_RELAXED);
}

static void visitors_go(void)
{
    bid_sub(&visited->count, visitors, BID_RELAXED);
    visitors = 0;
}

static void arrays_get_larger(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    turns = 0;
    when_made = visitors_come;
    when_given_up = visitors_go;
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK_STATUS(bid_reserve(table, 10000), BID_OK);
    CHECK(turns == 6);
    when_made = NULL;
    when_given_up = NULL;
    is_well(table, 1);
    bid_destroy(table);
}

/* ----------------------------------------------------------------------------------------- the live limit -- */

/* An array of which a smaller replacement is being built takes no more entries than that has room for. */
static void live_limit_is_kept(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    struct bid_array *head = bid_head(table);
    uint8_t id[20] = {1};
    for (uint64_t i = 0; i < 100; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    bid_store(&head->live_limit, 101, BID_RELAXED);
    CHECK_STATUS(bid_insert_nmi(table, inode_key(100), 0, id, sizeof id), BID_OK);
    CHECK_STATUS(bid_insert_nmi(table, inode_key(101), 0, id, sizeof id), BID_E_WOULD_ALLOCATE);
    CHECK(bid_count(table) == 101 && !bid_resizing(table));
    CHECK_STATUS(insert(table, inode_key(101), 1, 20), BID_OK); /* into the array that it makes for that */
    CHECK(bid_resizing(table) || bid_resizes(table) == 1);
    bid_destroy(table);
}

/* --------------------------------------------------------------------------------------- the limit on entries -- */

/* An insert that stands still just before its swap has its place: another is refused, and there are never more than the
 * limit. What it has written is not overwritten by another insert that comes to the same slot. */
static void the_last_place(void)
{
    struct bid_table *table = make_table((struct bid_options){.max_entries = 2 * LATE});
    uint8_t id[20] = {1};
    for (uint64_t i = 0; i < LATE; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    start_late(table, RECORD_TAKEN);
    CHECK_STATUS(insert(table, inode_key(1000), 1, 20), BID_E_MAX_ENTRIES);
    CHECK_STATUS(bid_insert_nmi(table, inode_key(1000), 1, id, sizeof id), BID_E_MAX_ENTRIES);
    CHECK_STATUS(bid_replace(table, inode_key(0), 1, id, sizeof id), BID_OK);
    for (int i = 0; i < LATE; i++)
        sem_post(&go_on);
    for (int i = 0; i < LATE; i++)
        CHECK(pthread_join(late.threads[i], NULL) == 0);
    CHECK(bid_count(table) == 2 * LATE && statistics(table).entries == 2 * LATE);
    for (uint64_t key = FIRST; key < FIRST + LATE; key++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, key, &id), BID_OK);
        CHECK(id_is(&id, key, 1, 20));
    }
    bid_destroy(table);
}

int main(void)
{
    the_last_place();
    CHECK(sem_init(&stopped, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
    many_between_look_and_swap();
    many_before_the_look();
    reserve_against_shrink();
    a_failed_reserve_asks_for_nothing(room_is_used_up, 100);
    a_failed_reserve_asks_for_nothing(another_reserves, 100000);
    a_failed_shrink_gives_nothing_up();
    reserve_beside_handlers(1280);
    reserve_beside_handlers(2560);
    reserve_beside_handlers(2304);
    reserve_against_shrinks();
    arrays_get_larger();
    live_limit_is_kept();
    return 0;
}
