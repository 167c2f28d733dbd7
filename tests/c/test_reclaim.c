/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What waits for readers: it is freed when the last of those that may be in it has left, by whatever update comes next,
 * and an update that failed for want of it succeeds then at once. */
#include "check.h"

#include "platform.h"
#include "table.h" /* for what records take */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define READERS 8

/* ------------------------------------------------------------------------------------ readers of all ages -- */

static struct bid_table *table;
static atomic_int inside, leave;

static int stay(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    atomic_fetch_add(&inside, 1);
    while (!(atomic_load(&leave) >> (intptr_t)argument & 1))
        sched_yield();
    return 1;
}

static void *reader(void *argument)
{
    CHECK(bid_iterate(table, stay, argument) == 1);
    return NULL;
}

static void move_on(uint64_t i)
{
    CHECK_STATUS(i % 2 ? bid_shrink(table) : bid_reserve(table, 10000), BID_OK);
}

/* Each came after one resize more than the one before; an array is kept by the oldest reader that may be in it,
 * wherever in the table of pins that stands. */
static void readers_of_all_ages(void)
{
    pthread_t threads[READERS];
    table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    for (intptr_t i = 0; i < READERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, reader, (void *)i) == 0);
        while (atomic_load(&inside) <= i)
            sched_yield();
        move_on((uint64_t)i);
        bid_reclaim(table);
        CHECK(statistics(table).retired_arrays == (unsigned)i + 1);
    }
    for (int i = READERS - 1; i > 0; i--) { /* the oldest keeps them all */
        atomic_fetch_or(&leave, 1 << i);
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(bid_reclaim(table) && statistics(table).retired_arrays == READERS);
    }
    atomic_fetch_or(&leave, 1);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(bid_reclaim(table) == 0 && statistics(table).retired_arrays == 0);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------------ what comes next -- */

/* Nobody has to call bid_reclaim(). */
static void freed_by_the_way(void)
{
    table = make_table((struct bid_options){.id_size = 20});
    uint64_t entries = 0;
    while (!bid_resizes(table))
        CHECK_STATUS(insert(table, inode_key(entries++), 1, 20), BID_OK);
    for (int i = 0; i < 200; i++)
        CHECK_STATUS(insert(table, inode_key(0), 1, 20), BID_EXISTS);
    CHECK(statistics(table).bytes_retired == 0);
    bid_destroy(table);
}

static uint64_t refused; /* the number of the key that was */

/* While it reads, nothing of what is left is freed. */
static int fill_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    for (refused = 0; (status = insert(table, inode_key(refused), 1, 20)) >= 0; refused++)
        ;
    CHECK_STATUS(status, BID_E_RETIRED);
    CHECK_STATUS(bid_reserve(table, 1000000), BID_E_RETIRED);
    return 1;
}

static void succeeds_at_once(int reserves)
{
    table = make_table((struct bid_options){.retired_limit = 256 << 10, .id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK(bid_iterate(table, fill_inside, NULL) == 1);
    if (reserves)
        CHECK_STATUS(bid_reserve(table, 1000000), BID_OK);
    else
        CHECK_STATUS(insert(table, inode_key(refused), 1, 20), BID_OK);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------- one that stands still as it frees -- */

static atomic_int frees, stands_still;

static void stand_still_once(void *context, void **address, size_t bytes)
{
    if (atomic_fetch_add(&frees, 1) == 0)
        while (atomic_load(&stands_still))
            sched_yield();
    bid_platform_allocator.unmap(context, address, bytes);
}

static void *reclaims(void *unused)
{
    bid_reclaim(table);
    return unused;
}

/* Of two arrays that wait, a thread frees the first and gets no further. Updates free the other one. */
static void another_frees_the_rest(void)
{
    struct bid_allocator allocator = bid_platform_allocator;
    pthread_t threads[2], stopped;
    allocator.unmap = stand_still_once;
    table = make_table((struct bid_options){.id_size = 20, .allocator = &allocator});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    atomic_store(&inside, 0);
    atomic_store(&leave, 0);
    atomic_store(&stands_still, 1);
    for (intptr_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, reader, (void *)i) == 0);
        while (atomic_load(&inside) <= i)
            sched_yield();
        move_on((uint64_t)i);
    }
    atomic_store(&leave, 1);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(pthread_create(&stopped, NULL, reclaims, NULL) == 0);
    while (!atomic_load(&frees))
        sched_yield();
    atomic_store(&leave, 3);
    CHECK(pthread_join(threads[1], NULL) == 0);
    for (int i = 0; i < 200; i++)
        CHECK_STATUS(insert(table, 1, 1, 20), BID_EXISTS);
    CHECK(atomic_load(&frees) == 2);
    atomic_store(&stands_still, 0);
    CHECK(pthread_join(stopped, NULL) == 0);
    CHECK(statistics(table).bytes_retired == 0);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------------------ records -- */

/* All records of a table are as large as its id_size needs, however long the IDs are. */
static void records_of_one_size(uint32_t id_size, uint64_t units)
{
    uint8_t id[BID_ID_MAX] = {1};
    table = make_table((struct bid_options){.id_size = id_size});
    struct bid_array *head = bid_head(table);
    uint64_t aside = BID_REMOVES_ASIDE * units, next = head->record_first + aside;
    CHECK_STATUS(bid_insert(table, 1, 0, id, 1), BID_OK);
    CHECK_STATUS(bid_insert(table, 2, 0, id, id_size), BID_OK);
    CHECK_STATUS(bid_insert(table, 3, 0, id, id_size + 1), BID_E_ID_LENGTH);
    CHECK_STATUS(bid_replace(table, 1, 0, NULL, 0), BID_OK);
    CHECK(bid_load(&head->record_next, BID_RELAXED) == next + units); /* the others have the places of their slots */
    CHECK_STATUS(bid_reserve(table, 10000), BID_OK);                  /* copies them */
    head = bid_head(table);
    CHECK(bid_load(&head->record_next, BID_RELAXED) == head->record_first + aside);
    bid_destroy(table);
}

/* --------------------------------------------------------------------------------------------------- seeds -- */

static int shrink_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    CHECK_STATUS(bid_shrink(table), BID_OK);
    uint64_t head = bid_load(&table->head, BID_RELAXED);
    CHECK(head & BID_HEAD_RESEEDED && bid_head(table)->seed != bid_load(&table->seed, BID_RELAXED));
    CHECK(bid_reclaim(table) > 0 && bid_load(&table->head, BID_RELAXED) == head);
    return 1;
}

/* A smaller array has another seed. The table takes it over when no reader is left in the one that came before. */
static void seed_is_taken_over(void)
{
    table = make_table((struct bid_options){.expected_entries = 10000, .id_size = 20});
    for (uint64_t i = 0; i < 100; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(bid_iterate(table, shrink_inside, NULL) == 1);
    CHECK(bid_reclaim(table) == 0 && !(bid_load(&table->head, BID_RELAXED) & BID_HEAD_GENERAL));
    CHECK(bid_head(table)->seed == bid_load(&table->seed, BID_RELAXED) && !bid_audit(table, 0));
    for (uint64_t i = 0; i < 100; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
    bid_destroy(table);
}

int main(void)
{
    seed_is_taken_over();
    readers_of_all_ages();
    freed_by_the_way();
    another_frees_the_rest();
    succeeds_at_once(0);
    succeeds_at_once(1);
    records_of_one_size(1, 1);
    records_of_one_size(20, 1);
    records_of_one_size(21, 2);
    records_of_one_size(52, 2);
    records_of_one_size(53, 3);
    return 0;
}
