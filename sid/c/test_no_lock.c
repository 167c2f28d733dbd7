/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* BID_MLOCK: all that a lookup touches is locked; and where the limit on locked memory (RLIMIT_MEMLOCK) is met,
 * which does not pass by itself, no resize is left half done: what is there can be looked up and removed. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 10000

static uint64_t locks, granted = UINT64_MAX; /* calls; those after the granted ones are refused for good */
static size_t largest;

/* In the place of libc's. Memory need not be locked for what is checked here, and not every user may lock so much. */
int mlock(const void *address, size_t bytes)
{
    (void)address;
    largest = bytes > largest ? bytes : largest;
    if (locks++ < granted)
        return 0;
    errno = ENOMEM;
    return -1;
}

static uint64_t fill(struct bid_table *table)
{
    for (uint64_t i = 0; i < ENTRIES; i++) {
        int status = insert(table, inode_key(i), 1, 20);
        if (status == BID_OK)
            continue;
        CHECK_STATUS(status, BID_E_MLOCK);
        return i;
    }
    return ENTRIES;
}

/* Returns how many entries there were before no more memory could be locked. */
static uint64_t meet_the_limit(struct bid_table *table)
{
    uint64_t entries = fill(table);
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_EXISTS);
    }
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    CHECK(bid_count(table) == 0);
    granted = UINT64_MAX;
    CHECK(fill(table) == ENTRIES);
    return entries;
}

static void pins_are_locked(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20, .flags = BID_MLOCK});
    CHECK(largest >= statistics(table).bytes_pins);
    bid_destroy(table);
}

int main(void)
{
    pins_are_locked();
    uint64_t met = 0, refused = 0;
    for (uint64_t limit = 0; met < ENTRIES; limit++) {
        struct bid_table *table;
        struct bid_options options = {.size = sizeof options, .id_size = 20, .flags = BID_MLOCK};
        locks = 0;
        granted = limit;
        int status = bid_create(&table, &options);
        refused += status != BID_OK;
        if (status != BID_OK) {
            CHECK_STATUS(status, BID_E_MLOCK);
            continue;
        }
        met = meet_the_limit(table);
        bid_destroy(table);
    }
    printf("%lu tables could not be made\n", (unsigned long)refused);
    CHECK(refused > 3);
    return 0;
}
