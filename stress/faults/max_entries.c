/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A limit on entries that is reached, for limits of many sizes. Entries go in, from thread context and, whenever a
 * resize stands half done, by the form for NMI context, until the table says BID_E_MAX_ENTRIES: exactly at the limit,
 * with every entry kept. Replaces go on, also those that need another array. Then most entries leave and others come,
 * by turns, against the limit again and again; lookups from another thread find what stays throughout. The table never
 * takes more memory than the header says.
 *
 * Usage: max_entries LIMITS TURNS (so many limits; so many times for each)
 */
#include "faults.h"

#include <pthread.h>
#include <stdatomic.h>

#define STAY 100 /* entries that stay */
#define FIRST_LIMIT 150

static struct {
    uint64_t limits, refused, in_resize, turns, replaces,
        percent; /* percent: of the memory that the header allows, at most */
} tally;

static int insert_one(struct bid_table *table, uint64_t number)
{
    uint8_t id[20];
    uint64_t key = inode_key(number);
    int status = BID_E_WOULD_ALLOCATE;
    make_id(key, 1, id, sizeof id);
    if (bid_resizing(table))
        status = bid_insert_nmi(table, key, 1, id, sizeof id);
    return status == BID_E_WOULD_ALLOCATE ? bid_insert(table, key, 1, id, sizeof id) : status;
}

struct reader {
    const struct bid_table *table;
    atomic_int stop;
};

static void *look_up(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->stop))
        check_entries(reader->table, 0, STAY);
    return NULL;
}

static void check_bytes(const struct bid_table *table, uint64_t limit)
{
    struct bid_stats stats = statistics(table);
    uint64_t most = 3 * BID_ARRAY_BYTES_MAX(limit, 20);
    uint64_t percent = (stats.bytes_slots + stats.bytes_records + stats.bytes_retired) * 100 / most;
    CHECK(percent < 100);
    tally.percent = percent > tally.percent ? percent : tally.percent;
}

/* Whether the insert was made; what waits for the reader may stop it for a while. */
static int try_insert(struct bid_table *table, uint64_t number)
{
    int status;
    while ((status = insert_one(table, number)) == BID_E_RETIRED)
        bid_reclaim(table);
    CHECK(status == BID_OK || status == BID_E_MAX_ENTRIES);
    return status == BID_OK;
}

static void fill(struct bid_table *table, uint64_t entries, uint64_t limit)
{
    while (try_insert(table, entries)) {
        tally.in_resize += (uint64_t)bid_resizing(table);
        entries++;
    }
    CHECK(entries == limit && bid_count(table) == limit);
    check_bytes(table, limit);
    check_entries(table, 0, limit);
    check_absent(table, limit, limit + 10);
    tally.refused++;
}

static void replace_all(struct bid_table *table, uint64_t limit)
{
    for (uint64_t i = STAY; i < limit; i++) {
        uint8_t id[20];
        int status;
        make_id(inode_key(i), 1, id, sizeof id);
        while ((status = bid_replace(table, inode_key(i), 1, id, sizeof id)) == BID_E_RETIRED)
            bid_reclaim(table);
        CHECK_STATUS(status, BID_OK);
        tally.replaces++;
    }
    CHECK(bid_count(table) == limit);
}

static void leave(struct bid_table *table, uint64_t limit)
{
    for (uint64_t i = STAY; i < limit; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    check_absent(table, STAY, limit);
    check_bytes(table, limit);
}

static void one_limit(uint64_t limit, uint64_t turns)
{
    struct bid_table *table =
        make_table((struct bid_options){.expected_entries = 1, .max_entries = limit, .retired_limit = 1});
    struct reader reader = {.table = table};
    pthread_t thread;
    fill(table, 0, limit);
    CHECK(pthread_create(&thread, NULL, look_up, &reader) == 0);
    for (uint64_t i = 0; i < turns; i++) {
        replace_all(table, limit);
        leave(table, limit);
        fill(table, STAY, limit);
        tally.turns++;
    }
    atomic_store(&reader.stop, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    tally.limits++;
    bid_destroy(table);
}

int main(int argc, char **argv)
{
    uint64_t limits = parameter(argc, argv, 1), turns = parameter(argc, argv, 2);
    for (uint64_t i = 0, limit = FIRST_LIMIT; i < limits; i++, limit += 1 + limit / 20)
        one_limit(limit, turns);
    figure("limits", tally.limits);
    figure("refused", tally.refused);
    figure("in_the_middle_of_a_grow", tally.in_resize);
    figure("turns", tally.turns);
    figure("replaces", tally.replaces);
    figure("percent_of_the_bytes_allowed", tally.percent);
    CHECK(tally.refused == tally.limits * (turns + 1) && tally.in_resize > 0 && tally.replaces > 0);
    return 0;
}
