/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Limits on entries and on what waits for readers: a clear error, nothing lost, and recovery. */
#include "check.h"

#include "table.h"

#include <pthread.h>
#include <stdatomic.h>

static uint64_t fill(struct bid_table *table, uint64_t from, int expected)
{
    int status;
    while ((status = insert(table, inode_key(from), 1, 20)) == BID_OK)
        from++;
    CHECK_STATUS(status, expected);
    return from;
}

static void all_there(struct bid_table *table, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
    CHECK(bid_count(table) == entries);
}

static uint64_t bytes_of(const struct bid_table *table)
{
    struct bid_stats stats = statistics(table);
    return stats.bytes_slots + stats.bytes_records + stats.bytes_retired;
}

/* A table that is full takes no insert, in any form; all else goes on. */
static void refuses_inserts_alone(struct bid_table *table, uint64_t entries)
{
    uint8_t id[20];
    size_t inserted = 9;
    make_id(inode_key(0), 1, id, sizeof id);
    CHECK_STATUS(bid_insert_nmi(table, inode_key(entries), 1, id, sizeof id), BID_E_MAX_ENTRIES);
    CHECK_STATUS(bid_upsert(table, inode_key(entries), 1, id, sizeof id), BID_E_MAX_ENTRIES);
    uint64_t keys[] = {inode_key(0), inode_key(entries)};
    uint8_t rows[40] = {0};
    CHECK_STATUS(bid_insert_many(table, keys, 2, rows, 20, NULL, &inserted), BID_E_MAX_ENTRIES);
    CHECK(inserted == 0);
    CHECK_STATUS(bid_reserve(table, entries + 1), BID_E_MAX_ENTRIES);
    CHECK_STATUS(bid_insert(table, inode_key(0), 1, id, sizeof id), BID_EXISTS);
    CHECK_STATUS(bid_upsert(table, inode_key(0), 1, id, sizeof id), BID_EXISTS);
    for (uint64_t i = 0; i < 5 * entries + 3000; i++) /* until the records are used up, and more */
        CHECK_STATUS(bid_replace(table, inode_key(0), 1, id, sizeof id), BID_OK);
    CHECK_STATUS(bid_reserve(table, entries), BID_OK);
    CHECK(bid_shrink(table) >= 0);
    all_there(table, entries);
}

/* A cache at its limit: whenever an entry is refused, the oldest one leaves, and then it is taken. */
static void turn_over(struct bid_table *table, uint64_t entries, uint64_t most)
{
    for (uint64_t next = entries; next < 4 * entries; next++) {
        CHECK_STATUS(insert(table, inode_key(next), 1, 20), BID_E_MAX_ENTRIES);
        CHECK_STATUS(bid_remove(table, inode_key(next - entries)), BID_OK);
        CHECK_STATUS(insert(table, inode_key(next), 1, 20), BID_OK);
        if (next % (entries / 8 + 1) == 0)
            CHECK(bytes_of(table) <= most);
    }
    for (uint64_t key = 3 * entries; key < 4 * entries; key++)
        CHECK_STATUS(bid_remove(table, inode_key(key)), BID_OK);
}

/* And takes no more memory than the header says. */
static void max_entries(uint64_t entries, uint32_t id_size)
{
    struct bid_table *table =
        make_table((struct bid_options){.max_entries = entries, .id_size = id_size, .retired_limit = 1});
    uint64_t most = 3 * BID_ARRAY_BYTES_MAX(entries, id_size);
    CHECK(fill(table, 0, BID_E_MAX_ENTRIES) == entries);
    all_there(table, entries);
    refuses_inserts_alone(table, entries);
    turn_over(table, entries, most);
    CHECK(fill(table, 0, BID_E_MAX_ENTRIES) == entries);
    CHECK(bytes_of(table) <= most);
    bid_destroy(table);
}

/* Every record and every slot of an array together is below the bound, for arrays of all sizes. */
static void bound_of_an_array(uint32_t id_size)
{
    for (uint64_t entries = 100; entries < 5000000; entries = entries * 5 / 3) {
        struct bid_table *table =
            make_table((struct bid_options){.expected_entries = entries, .max_entries = entries, .id_size = id_size});
        const struct bid_array *head = bid_head(table);
        CHECK(head->mapping_bytes <= BID_ARRAY_BYTES_MAX(entries, id_size));
        bid_destroy(table);
    }
}

/* Many threads that insert, at the limit: together they get no more in than that, wherever they are preempted. */
enum { THREADS = 16, ROOM = 500 };
static atomic_int started;
static atomic_long taken;

static void *insert_to_the_limit(void *argument)
{
    struct bid_table *table = argument;
    uint64_t first = (uint64_t)atomic_fetch_add(&started, 1) * 100000;
    for (uint64_t i = 0; i < 3000; i++) {
        int status = insert(table, inode_key(first + i), 1, 20);
        CHECK(status == BID_OK || status == BID_E_MAX_ENTRIES);
        taken += status == BID_OK;
        CHECK(taken <= ROOM);
        if (status == BID_OK && i % 2) {
            taken--; /* before it is done: so the counter is never above the entries */
            CHECK_STATUS(bid_remove(table, inode_key(first + i)), BID_OK);
        }
    }
    return NULL;
}

static void threads_at_the_limit(void)
{
    struct bid_table *table = make_table((struct bid_options){.expected_entries = 1, .max_entries = ROOM});
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, insert_to_the_limit, table) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(bid_count(table) == (uint64_t)taken && statistics(table).entries == (uint64_t)taken);
    fill(table, 10000000, BID_E_MAX_ENTRIES);
    CHECK(bid_count(table) == ROOM);
    bid_destroy(table);
}

/* A reader that stands still inside an iteration. */
struct stall {
    struct bid_table *table;
    atomic_int inside, go_on;
};

static int stand_still(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct stall *stall = argument;
    (void)key, (void)status, (void)id;
    atomic_store(&stall->inside, 1);
    while (!atomic_load(&stall->go_on))
        ;
    return 1;
}

static void *reader(void *argument)
{
    struct stall *stall = argument;
    CHECK(bid_iterate(stall->table, stand_still, stall) == 1);
    return NULL;
}

/* Churn beside it: retired bytes stay under the limit, updates say BID_E_RETIRED, and all is well when it goes on. */
static void stalled_reader(uint64_t limit, uint32_t flags)
{
    struct bid_table *table = make_table((struct bid_options){.retired_limit = limit, .id_size = 20, .flags = flags});
    struct stall stall = {.table = table};
    pthread_t thread;
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK(pthread_create(&thread, NULL, reader, &stall) == 0);
    while (!atomic_load(&stall.inside))
        ;
    int status = BID_OK;
    uint64_t done = 0;
    for (; status >= 0 && done < 10000000; done++) {
        uint64_t key = 2 + done % 300;
        status = done / 300 % 2 ? bid_remove(table, key) : insert(table, key, 1, 20);
        if (done % 64 == 0)
            CHECK(!limit || statistics(table).bytes_retired <= limit);
    }
    CHECK_STATUS(status, BID_E_RETIRED);
    CHECK(statistics(table).bytes_retired > 0);
    struct bid_build_id id;
    CHECK_STATUS(bid_lookup(table, 1, &id), BID_OK);
    CHECK(id_is(&id, 1, 1, 20));
    atomic_store(&stall.go_on, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(bid_reclaim(table) == 0);
    CHECK(statistics(table).bytes_retired == 0 && statistics(table).retired_arrays == 0);
    for (uint64_t i = 0; i < 100000; i++)
        CHECK(insert(table, inode_key(i), 1, 20) == BID_OK);
    bid_destroy(table);
}

/* Updates that come and go while one reader stands still, as one does that is preempted. Arrays get larger while many wait,
 * so they last: at the start size, 125 of them would be used up by 160,000 inserts. */
static int churn_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct bid_table *table = argument;
    (void)key, (void)status, (void)id;
    for (uint64_t i = 0; i < 300000; i++) {
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    }
    return 1;
}

static void preempted_reader(void)
{
    struct bid_table *table = make_table((struct bid_options){.retired_limit = 1 << 30, .id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK(bid_iterate(table, churn_inside, table) == 1);
    CHECK(statistics(table).retired_arrays < BID_RETIRED_MAX && bid_reclaim(table) == 0);
    for (uint64_t i = 0; i < 100000 && statistics(table).slots > 2048; i++) {
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    }
    CHECK(statistics(table).slots == 2048); /* and smaller again, when nothing waits */
    bid_destroy(table);
}

/* 255 as the length of a row is one that no table takes; only as a length of its own it means "no build ID". */
static void rows_that_are_too_long(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 64});
    uint64_t key = 7;
    uint8_t row[255] = {1}, none = BID_LENGTH_NO_BUILD_ID;
    size_t inserted = 9;
    CHECK_STATUS(bid_insert_many(table, &key, 1, row, sizeof row, NULL, &inserted), BID_E_ID_LENGTH);
    CHECK(inserted == 0 && bid_count(table) == 0);
    CHECK_STATUS(bid_insert_many(table, &key, 1, row, sizeof row, &none, &inserted), BID_OK);
    CHECK(inserted == 1);
    bid_destroy(table);
}

int main(void)
{
    rows_that_are_too_long();
    threads_at_the_limit();
    preempted_reader();
    max_entries(1, 20);
    max_entries(1000, 20);
    max_entries(819, 21);
    max_entries(100000, 64);
    bound_of_an_array(20);
    bound_of_an_array(64);
    stalled_reader(256 << 10, 0);
    stalled_reader(4 << 20, 0);
    stalled_reader(256 << 10, BID_FENCED_PINS);
    stalled_reader(0, 0);
    return 0;
}
