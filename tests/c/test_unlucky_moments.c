/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Threads that stand still at the worst moments of an update or a resize: nothing else may come of it than what comes of any
 * other moment. The table's sources are compiled into this program, with a call of ours at those moments.
 */
#define bid_place_find stopping_place_find
#define bid_record_take stopping_record_take
#define bid_resize_complete stopping_resize_complete
#include "resize.c"
#include "update.c"
#undef bid_place_find
#undef bid_record_take
#undef bid_resize_complete

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

void bid_place_find(const struct bid_array *array, uint64_t key, struct bid_place *place);
int bid_record_take(struct bid_table *table, struct bid_array *array, unsigned units, int copying, int may_allocate,
                    uint64_t *index);
int bid_resize_complete(struct bid_table *table, struct bid_array *array);

enum moment {
    NOWHERE,
    PLACE_FOUND,  /* the slot is known, and that the array has no future */
    RECORD_TAKEN, /* all that is left is the swap of the slot word */
};

#define LATE 40 /* threads */

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

void stopping_place_find(const struct bid_array *array, uint64_t key, struct bid_place *place)
{
    bid_place_find(array, key, place);
    stop(PLACE_FOUND);
}

int stopping_record_take(struct bid_table *table, struct bid_array *array, unsigned units, int copying,
                         int may_allocate, uint64_t *index)
{
    int status = bid_record_take(table, array, units, copying, may_allocate, index);
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

/* One after the other they go on when the resize has begun, and what they have inserted is removed, in the future array: that
 * makes no room in the old one, or in the end more would have to be copied than the future array can hold. */
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
    start_late(table, PLACE_FOUND);
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

int main(void)
{
    CHECK(sem_init(&stopped, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
    many_between_look_and_swap();
    many_before_the_look();
    reserve_against_shrink();
    return 0;
}
