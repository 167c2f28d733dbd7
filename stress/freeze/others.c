/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "others.h"

#include "../../tests/c/check.h"

#include <unistd.h>

#define OTHERS 1000
#define OTHER(number) inode_key(5000 + (number))
#define MANY (5 * OTHERS) /* entries that the table grows for */

#define LIMIT_EVERY 64 /* at one point of so many, others go on to the limit of retired memory */
#define LIMIT_ROUNDS 200

static uint64_t operations;
static struct quiet quiet; /* this thread's */

static void check(int status, int expected)
{
    CHECK_STATUS(status, expected);
    operations++;
}

static int look_up(uint64_t key, struct bid_build_id *id)
{
    char before = quiet_enter(&quiet);
    int status = design->lookup(table, key, id, NULL);
    quiet_leave(&quiet, before);
    return status;
}

static void look(uint64_t key, uint32_t version)
{
    struct bid_build_id id;
    check(look_up(key, &id), BID_OK);
    CHECK(id_is(&id, key, version, 20));
}

static void look_at_all(void)
{
    for (uint64_t i = 0; i < ENTRIES; i++)
        if (inode_key(i) != subject)
            look(inode_key(i), 1);
}

/* --------------------------------------------------------------------------------------- of every design -- */

static void insert_and_replace(void)
{
    for (uint64_t i = 0; i < OTHERS; i++)
        check(put(OTHER(i), 1, design->insert), BID_OK);
    for (uint64_t i = 0; i < OTHERS; i++)
        check(put(OTHER(i), 2, design->replace), BID_OK);
    for (uint64_t i = 0; i < OTHERS; i++)
        look(OTHER(i), 2);
}

static void remove_again(void)
{
    for (uint64_t i = 0; i < OTHERS; i++)
        check(design->remove(table, OTHER(i)), BID_OK);
}

/* The key that the stopped operation is about: it may be there or not. Others can remove, insert and replace it. */
static void update_the_subject(void)
{
    struct bid_build_id id;
    int status = design->remove(table, subject);
    check(status, status == BID_ABSENT ? BID_ABSENT : BID_OK);
    check(look_up(subject, &id), BID_ABSENT);
    check(put(subject, 9, design->insert), BID_OK);
    check(put(subject, 10, design->replace), BID_OK);
    look(subject, 10);
}

/* ----------------------------------------------------------------------------------------------- of ours -- */

static void resize(void)
{
    check(bid_reserve(table, MANY), BID_OK);
    check(shrink_table(table), BID_OK);
}

static int count(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    ++*(uint64_t *)argument;
    return 0;
}

static int put_in_nmi(uint64_t key)
{
    char before = quiet_enter(&quiet);
    int status = put(key, 1, design->insert_nmi);
    quiet_leave(&quiet, before);
    return status;
}

static int remove_in_nmi(uint64_t key)
{
    char before = quiet_enter(&quiet);
    int status = design->remove_nmi(table, key);
    quiet_leave(&quiet, before);
    return status;
}

/* Updates for NMI context, right where the operation stands still. They make no room, so they may be refused. */
static void update_in_nmi(uint64_t key)
{
    int status = put_in_nmi(key);
    check(status, status == BID_E_WOULD_ALLOCATE ? status : BID_OK);
    int there = status == BID_OK;
    status = remove_in_nmi(key);
    check(status, status == BID_E_WOULD_ALLOCATE ? status : there ? BID_OK : BID_ABSENT);
    if (status == BID_E_WOULD_ALLOCATE)
        check(design->remove(table, key), there ? BID_OK : BID_ABSENT);
}

static void every_other_kind(void)
{
    uint64_t seen = 0, key = OTHER(OTHERS), keys[2] = {inode_key(1), key};
    uint8_t ids[2][20], lengths[2];
    update_in_nmi(key);
    make_id(key, 3, ids[1], sizeof ids[1]);
    check(bid_upsert(table, key, 3, ids[1], sizeof ids[1]), BID_OK);
    check(bid_remove_generation(table, key, 2), BID_STALE);
    char before = quiet_enter(&quiet);
    check(bid_lookup_many(table, keys, 2, ids[0], sizeof ids[0], lengths) == 2 ? BID_OK : BID_ABSENT, BID_OK);
    quiet_leave(&quiet, before);
    check(bid_remove_generation(table, key, 3), BID_OK);
    before = quiet_enter(&quiet);
    check(bid_iterate(table, count, &seen), BID_OK);
    quiet_leave(&quiet, before);
    CHECK(seen >= ENTRIES && seen <= bid_count(table) + 1);
    bid_reclaim(table);
}

/* What is retired stays below the limits that a table has by default. */
static void see_retired(void)
{
    struct bid_stats stats = statistics(table);
    CHECK(stats.bytes_retired <= (64 << 20) && stats.retired_arrays <= BID_RETIRED_MAX);
    if (stats.bytes_retired > found->max_retired)
        found->max_retired = stats.bytes_retired;
}

/* A thread that is stopped with a pin keeps all that is retired from being freed. At the limit resizes are refused with
 * an error; lookups and removes go on. */
static void go_to_the_limit(void)
{
    int status = BID_OK;
    for (unsigned round = 0; round < LIMIT_ROUNDS && status == BID_OK; round++) {
        status = bid_reserve(table, MANY);
        if (status == BID_OK)
            status = shrink_table(table);
        see_retired();
    }
    check(status, status == BID_E_RETIRED ? BID_E_RETIRED : BID_OK);
    found->limits += status == BID_E_RETIRED;
    look_at_all();
    check(bid_remove(table, inode_key(7)), BID_OK);
}

void *others_work(void *unused)
{
    (void)unused;
    int ours = design == &bid_design_ours;
    found->in_resize += ours && bid_resizing(table);
    if (ours) {
        quiet_watch(&quiet, &found->quiet);
        update_in_nmi(OTHER(OTHERS));
    }
    insert_and_replace();
    if (ours)
        resize();
    remove_again();
    look_at_all();
    update_the_subject();
    if (ours) {
        every_other_kind();
        resize();
        see_retired();
        if (found->points % LIMIT_EVERY == 0)
            go_to_the_limit();
    }
    found->operations += operations;
    _exit(0);
}
