/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A byte limit that is reached. For limits a page apart, entries go in until the table says BID_E_BYTE_LIMIT; it must have
 * kept the limit and every entry. Most entries then leave, and others come, by turns, against the limit again and again;
 * lookups from another thread find what stays throughout. And a grow that has begun does not meet the limit, even if those
 * who insert meanwhile do their worst.
 *
 * Usage: byte_limit LIMITS TURNS (so many limits, a page apart; so many times for each)
 */
#include "faults.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGE 4096
#define LEAST_LIMIT (24 * PAGE) /* the smallest table takes about this */
#define STAY 100                /* entries that stay */
#define MOST 65536              /* entries: more than any of these limits lets in */

/* Of each entry's ID. A resize books the records that it needs when it begins, with some to spare. The worst that can come
 * in its middle are long IDs, by the form for NMI context, which does not move the resize on. */
static uint8_t lengths[MOST];

static struct {
    uint64_t limits, refused, in_resize, stuck, crowded, turns, percent, back;
} tally = {.back = 100};

static int insert_one(struct bid_table *table, uint64_t number, int long_in_resize)
{
    uint8_t id[BID_ID_MAX];
    uint64_t key = inode_key(number);
    int status = BID_E_WOULD_ALLOCATE, is_long = long_in_resize && bid_resizing(table);
    CHECK(number < MOST);
    lengths[number] = is_long ? BID_ID_MAX : BID_ID_NARROW;
    make_id(key, 1, id, lengths[number]);
    if (is_long)
        status = bid_insert_nmi(table, key, 1, id, lengths[number]);
    return status == BID_E_WOULD_ALLOCATE ? bid_insert(table, key, 1, id, lengths[number]) : status;
}

static void check_stayed(const struct bid_table *table, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, lengths[i]));
    }
}

struct reader {
    const struct bid_table *table;
    atomic_int stop;
    uint64_t lookups;
};

static void *look_up(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->stop)) {
        check_stayed(reader->table, STAY);
        reader->lookups += STAY;
    }
    return NULL;
}

static void check_bytes(const struct bid_table *table, uint64_t limit)
{
    struct bid_stats stats = statistics(table);
    CHECK(stats.bytes_slots + stats.bytes_records + stats.bytes_retired <= limit);
}

/* Inserts until the table refuses. What waits for a reader counts as well: then it is asked once more when that is gone. */
static uint64_t fill_up(struct bid_table *table, uint64_t entries)
{
    for (;;) {
        int status = insert_one(table, entries, 0);
        if (status == BID_OK) {
            entries++;
            continue;
        }
        CHECK_STATUS(status, BID_E_BYTE_LIMIT);
        if (!statistics(table).retired_arrays)
            return entries;
        while (bid_reclaim(table))
            sched_yield();
    }
}

/* Returns how many entries it has then. */
static uint64_t fill(struct bid_table *table, uint64_t entries, uint64_t limit)
{
    entries = fill_up(table, entries);
    check_bytes(table, limit);
    tally.refused++;
    check_stayed(table, entries);
    check_absent(table, entries, entries + 10);
    CHECK(bid_count(table) == entries);
    return entries;
}

/* All entries but a few leave. How many have to, in percent, before one more is taken in again: a new array has to fit
 * beside the old one. */
static uint64_t leave(struct bid_table *table, uint64_t entries, uint64_t limit)
{
    uint64_t left = entries, percent = 100;
    while (left > STAY) {
        CHECK_STATUS(bid_remove(table, inode_key(--left)), BID_OK);
        if (percent < 100 || insert_one(table, entries, 0) != BID_OK)
            continue;
        percent = (entries - left) * 100 / entries;
        CHECK_STATUS(bid_remove(table, inode_key(entries)), BID_OK);
    }
    check_stayed(table, left);
    check_absent(table, left, entries + 1);
    check_bytes(table, limit);
    return percent;
}

static int one_limit(uint64_t limit, uint64_t turns)
{
    struct bid_table *table;
    struct reader reader = {0};
    struct bid_options options = {.size = sizeof options, .byte_limit = limit};
    pthread_t thread;
    int status = bid_create(&table, &options);
    if (status == BID_E_OPTION_LIMIT)
        return 0;
    CHECK_STATUS(status, BID_OK);
    uint64_t entries = fill(table, 0, limit), first = entries;
    reader.table = table;
    CHECK(entries > STAY);
    CHECK(pthread_create(&thread, NULL, look_up, &reader) == 0);
    for (uint64_t i = 0; i < turns; i++) {
        uint64_t percent = leave(table, entries, limit);
        tally.percent = percent > tally.percent ? percent : tally.percent;
        entries = fill(table, STAY, limit);
        if (entries * 100 / first < tally.back)
            tally.back = entries * 100 / first;
        tally.turns++;
    }
    atomic_store(&reader.stop, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    tally.limits++;
    bid_destroy(table);
    return 1;
}

/* Handlers insert long IDs whenever a resize stands half done. The limit is met all the same, but in none. */
static void long_in_resizes(uint64_t limit)
{
    struct bid_table *table = make_table((struct bid_options){.byte_limit = limit});
    uint64_t entries = 0, removed = 0;
    int status;
    while ((status = insert_one(table, entries, 1)) == BID_OK)
        entries++;
    CHECK(status == BID_E_BYTE_LIMIT || status == BID_E_CROWDED);
    check_bytes(table, limit);
    check_stayed(table, entries);
    CHECK(bid_count(table) == entries);
    tally.in_resize += (uint64_t)bid_resizing(table);
    tally.crowded += status == BID_E_CROWDED;
    for (uint64_t i = entries; i-- > 0;) {
        struct bid_build_id id;
        status = bid_remove(table, inode_key(i));
        CHECK(status == BID_OK || status == BID_E_BYTE_LIMIT || status == BID_E_CROWDED);
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), status == BID_OK ? BID_ABSENT : BID_OK);
        removed += status == BID_OK;
    }
    CHECK(bid_count(table) == entries - removed);
    tally.stuck += insert_one(table, entries, 0) < 0;
    bid_destroy(table);
}

int main(int argc, char **argv)
{
    uint64_t limits = parameter(argc, argv, 1), turns = parameter(argc, argv, 2), too_small = 0;
    for (uint64_t i = 0; i < limits; i++)
        if (one_limit(LEAST_LIMIT + i * PAGE, turns))
            long_in_resizes(LEAST_LIMIT + i * PAGE);
        else
            too_small++;
    figure("limits", tally.limits);
    figure("too_small_to_begin", too_small);
    figure("refused", tally.refused);
    figure("in_the_middle_of_a_grow", tally.in_resize);
    figure("stuck_there", tally.stuck);
    figure("crowded_there", tally.crowded);
    figure("turns", tally.turns);
    figure("percent_that_left_at_most_before_one_came", tally.percent);
    figure("percent_that_came_back_at_least", tally.back);
    CHECK(tally.refused > tally.limits && tally.percent <= 50 && tally.back >= 50);
    CHECK(tally.in_resize == 0 && tally.stuck == 0 && tally.crowded == 0);
    return 0;
}
