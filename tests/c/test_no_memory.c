/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The system has no memory for a while, also in the middle of a resize: a clear error each time, nothing lost, and all
 * goes on once there is memory again, however often it had failed. */
#define _GNU_SOURCE
#include "check.h"

#include "hash.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define ENTRIES 60000

static int no_memory;
static uint64_t failures;

/* In the place of libc's: populating memory is what fails when there is none. */
int madvise(void *address, size_t bytes, int advice)
{
    if (no_memory && advice == MADV_POPULATE_WRITE) {
        failures++;
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

static void all_there(struct bid_table *table, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
}

/* Updates while nothing can be had; removes need nothing, in the middle of a resize as well. Returns how many
 * failed. */
static uint64_t starve(struct bid_table *table, uint64_t entries)
{
    uint64_t failed = 0;
    no_memory = 1;
    for (uint64_t turn = 0; turn < 20000; turn++) {
        uint64_t key = inode_key(ENTRIES * 2 + turn);
        int status = insert(table, key, 1, 20);
        CHECK(status == BID_OK || status == BID_E_NO_MEMORY);
        failed += status != BID_OK;
        if (status != BID_OK)
            continue;
        CHECK_STATUS(bid_remove(table, key), BID_OK); /* what the resize needs was there before it began */
    }
    all_there(table, entries);
    no_memory = 0;
    return failed;
}

/* An array that is to be made early, while there is room left, is not tried for again by each update. */
static void early_tries_are_few(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t entries = statistics(table).slots * 7 / 10;
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(!bid_resizing(table));
    no_memory = 1;
    CHECK_STATUS(insert(table, inode_key(entries), 1, 20), BID_OK);
    CHECK(failures == 1);
    for (uint64_t i = 0; i < 500; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    CHECK(failures == 1);
    no_memory = 0;
    failures = 0;
    bid_destroy(table);
}

/* Keys that crowd into every other bucket of the next array, so that their copies need more records elsewhere than were
 * there before the resize began. Returns how many there are when it has begun. */
static uint64_t crowd(struct bid_table *table, uint64_t *keys)
{
    uint64_t entries = 0;
    for (uint64_t number = 0; !bid_resizing(table); number++) {
        const struct bid_array *head = bid_head(table);
        uint64_t next = bid_size_buckets(head->size + 1);
        if (bid_sequence_mixed(bid_mix(inode_key(number), head->seed), next).bucket % 2)
            continue;
        keys[entries] = inode_key(number);
        CHECK_STATUS(insert(table, keys[entries++], 1, 20), BID_OK);
    }
    return entries;
}

/* No help with the resize is possible, and removes go on: BID_REMOVES_ASIDE of them have a record for their copy. */
static void removes_go_on_where_help_fails(void)
{
    static uint64_t keys[200000];
    struct bid_table *table = make_table((struct bid_options){.expected_entries = 90000, .id_size = 20});
    uint64_t entries = crowd(table, keys), removed = 0;
    no_memory = 1;
    failures = 0;
    for (uint64_t i = 0; i < 200000 && failures < 1000; i++) { /* helps until nothing is left for copies */
        int status = insert(table, inode_key(1000000 + i), 1, 20);
        CHECK(status == BID_OK || status == BID_E_NO_MEMORY);
    }
    CHECK(failures && bid_resizing(table));
    for (; removed < BID_REMOVES_ASIDE; removed++)
        CHECK_STATUS(bid_remove(table, keys[entries - 1 - removed]), BID_OK);
    no_memory = 0;
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, keys[i], &id), i < entries - removed ? BID_OK : BID_ABSENT);
    }
    CHECK_STATUS(bid_shrink(table), BID_OK);
    failures = 0;
    bid_destroy(table);
}

int main(void)
{
    early_tries_are_few();
    removes_go_on_where_help_fails();
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t failed = 0, resizes_met = 0;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        int before = bid_resizing(table);
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
        if (before || !bid_resizing(table))
            continue;
        resizes_met++;
        failed += starve(table, i + 1);
    }
    all_there(table, ENTRIES);
    CHECK(bid_count(table) == ENTRIES);
    CHECK_STATUS(bid_shrink(table), BID_OK);
    all_there(table, ENTRIES);
    printf("%lu resizes met, %lu updates failed, memory was refused %lu times\n", (unsigned long)resizes_met,
           (unsigned long)failed, (unsigned long)failures);
    CHECK(resizes_met > 5 && failed > 10000);
    bid_destroy(table);
    return 0;
}
