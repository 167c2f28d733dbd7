/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Limits on bytes: a clear error, nothing lost, and recovery. */
#include "check.h"

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

/* A cache at its limit: whenever an entry is refused, the oldest ones leave until it is taken. It never gets below half. */
static void turn_over(struct bid_table *table, uint64_t entries)
{
    uint64_t oldest = 0;
    for (uint64_t next = entries; next < 4 * entries; next++) {
        int status;
        while ((status = insert(table, inode_key(next), 1, 20)) == BID_E_BYTE_LIMIT)
            CHECK_STATUS(bid_remove(table, inode_key(oldest++)), BID_OK);
        CHECK_STATUS(status, BID_OK);
        CHECK(bid_count(table) * 2 > entries);
    }
    for (uint64_t key = oldest; key < 4 * entries; key++)
        CHECK_STATUS(bid_remove(table, inode_key(key)), BID_OK);
}

static void byte_limit(uint64_t limit)
{
    struct bid_table *table = make_table((struct bid_options){.byte_limit = limit, .id_size = 20});
    uint64_t entries = fill(table, 0, BID_E_BYTE_LIMIT);
    struct bid_stats stats = statistics(table);
    CHECK(stats.bytes_slots + stats.bytes_records + stats.bytes_retired <= limit);
    CHECK(entries * 128 > limit); /* the limit is used, not just kept */
    all_there(table, entries);
    turn_over(table, entries);
    CHECK(fill(table, 0, BID_E_BYTE_LIMIT) * 2 > entries);
    bid_destroy(table);
}

/* A limit that leaves no room to rebuild the table is refused; every other lets a table that is nearly empty go on for good. */
static void small_limits(uint64_t expected)
{
    uint64_t refused = 0, taken = 0;
    for (uint64_t limit = 1024; limit <= 64 << 10; limit += 512) {
        struct bid_table *table;
        struct bid_options options = {
            .size = sizeof options, .byte_limit = limit, .expected_entries = expected, .id_size = 20};
        int status = bid_create(&table, &options);
        if (status != BID_OK) {
            CHECK_STATUS(status, BID_E_OPTION_LIMIT);
            CHECK(!taken);
            refused++;
            continue;
        }
        taken++;
        for (uint64_t i = 0; i < 5000; i++) {
            CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
            CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
        }
        bid_destroy(table);
    }
    CHECK(refused > 10 && taken > 10);
}

/* Many threads, preempted anywhere in a resize: what makes room is never refused for want of it. */
struct churn {
    struct bid_table *table;
    uint64_t number;
};

static void *churn_at_the_limit(void *argument)
{
    struct churn *churn = argument;
    uint8_t id[BID_ID_MAX] = {1};
    uint64_t x = (churn->number + 1) * 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 40000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t key = inode_key(x % 4000);
        int status = x >> 40 & 1 ? bid_upsert(churn->table, key, 0, id, sizeof id) : bid_remove(churn->table, key);
        CHECK(status >= 0 || (x >> 40 & 1 && status == BID_E_BYTE_LIMIT));
    }
    return NULL;
}

static void removes_at_the_limit(void)
{
    enum { THREADS = 32 };
    struct bid_table *table = make_table((struct bid_options){.byte_limit = 128 << 10});
    struct churn churns[THREADS];
    pthread_t threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        churns[i] = (struct churn){table, i};
        CHECK(pthread_create(&threads[i], NULL, churn_at_the_limit, &churns[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
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

/* Room that cannot be had is refused, and the table is as it was: it goes on growing as far as without that call. */
static void refused_reserve(void)
{
    struct bid_table *table = make_table((struct bid_options){.byte_limit = 4 << 20, .id_size = 20});
    uint64_t reached = fill(table, 0, BID_E_BYTE_LIMIT);
    bid_destroy(table);
    table = make_table((struct bid_options){.byte_limit = 4 << 20, .id_size = 20});
    for (uint64_t i = 0; i < 1000; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK_STATUS(bid_reserve(table, 1000000), BID_E_BYTE_LIMIT);
    CHECK(fill(table, 1000, BID_E_BYTE_LIMIT) == reached);
    all_there(table, reached);
    bid_destroy(table);
}

int main(void)
{
    refused_reserve();
    rows_that_are_too_long();
    small_limits(0);
    small_limits(100);
    removes_at_the_limit();
    preempted_reader();
    byte_limit(64 << 10);
    byte_limit(1 << 20);
    byte_limit(20 << 20);
    stalled_reader(256 << 10, 0);
    stalled_reader(4 << 20, 0);
    stalled_reader(256 << 10, BID_FENCED_PINS);
    stalled_reader(0, 0);
    return 0;
}
