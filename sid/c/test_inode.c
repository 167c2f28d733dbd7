/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The protocol on inodes: associate against evict, against associate, addresses that are used again, and an evict in
 * the middle of an associate that has no memory to go on. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 100000

static struct bid_table *table;
static struct bid_inode inode;
static atomic_long round_number;
static atomic_int arrived;
static int results[2];

static int associate(unsigned version)
{
    uint8_t id[20];
    make_id(7, version, id, sizeof id);
    return bid_inode_associate(table, &inode, id, sizeof id);
}

/* Both threads start each round at once. */
static void meet(long round)
{
    if (atomic_fetch_add(&arrived, 1) == 2 * round + 1)
        atomic_store(&round_number, round + 1);
    while (atomic_load(&round_number) <= round)
        sched_yield(); /* or each waits for the other's slice of time, where they share a processor */
}

static void *other(void *argument)
{
    for (long round = 0; round < ROUNDS; round++) {
        meet(2 * round);
        results[1] = argument ? bid_inode_evict(table, &inode) : associate(2);
        meet(2 * round + 1);
    }
    return NULL;
}

static void judge_evict(void)
{
    struct bid_build_id id;
    CHECK(results[0] == BID_OK ? results[1] == BID_OK : results[0] == BID_E_EVICTED && results[1] == BID_ABSENT);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_ABSENT);
    CHECK(bid_count(table) == 0);
}

static void judge_associate(void)
{
    struct bid_build_id id;
    CHECK((results[0] == BID_OK) + (results[1] == BID_OK) == 1);
    CHECK((results[0] == BID_EXISTS) + (results[1] == BID_EXISTS) == 1);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_OK);
    CHECK(id_is(&id, 7, results[0] == BID_OK ? 1 : 2, 20));
    CHECK_STATUS(bid_inode_evict(table, &inode), BID_OK);
}

static void race(int evict)
{
    pthread_t thread;
    atomic_store(&round_number, 0);
    atomic_store(&arrived, 0);
    CHECK(pthread_create(&thread, NULL, other, evict ? &inode : NULL) == 0);
    unsigned won = 0;
    for (long round = 0; round < ROUNDS; round++) {
        bid_inode_init(&inode, 1, 2, (uint32_t)round);
        meet(2 * round);
        results[0] = associate(1);
        meet(2 * round + 1);
        won += results[0] == BID_OK;
        if (evict)
            judge_evict();
        else
            judge_associate();
    }
    CHECK(pthread_join(thread, NULL) == 0);
    printf("%s: associate came first in %u of %d rounds\n", evict ? "evict" : "associate", won, ROUNDS);
}

/* Address used again. Evicted: gone. Not evicted, by mistake: stale, and the new inode can
 * be associated all the same. */
static void reuse(void)
{
    struct bid_build_id id;
    bid_inode_init(&inode, 1, 2, 3);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_ABSENT);
    CHECK_STATUS(associate(1), BID_OK);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_OK);
    CHECK(id_is(&id, 7, 1, 20));
    CHECK_STATUS(associate(2), BID_EXISTS);
    bid_inode_init(&inode, 1, 9, 4);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_ABSENT);
    CHECK_STATUS(bid_lookup_generation(table, (uintptr_t)&inode, 4, &id), BID_STALE);
    CHECK_STATUS(associate(5), BID_OK);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_OK);
    CHECK(id_is(&id, 7, 5, 20) && id.generation == 4);
    CHECK_STATUS(bid_inode_evict(table, &inode), BID_OK);
    CHECK_STATUS(bid_inode_evict(table, &inode), BID_ABSENT);
    CHECK_STATUS(associate(6), BID_E_EVICTED);
    bid_inode_init(&inode, 1, 10, 5);
    CHECK_STATUS(bid_inode_associate(table, &inode, NULL, 0), BID_OK);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_NO_BUILD_ID);
    CHECK_STATUS(bid_inode_evict(table, &inode), BID_OK);
}

/* ------------------------------------------------------------------------------------------ an evict in between -- */

static struct bid_inode *late; /* the inode to evict as soon as the table has its entry */
static int evicted;            /* from then on there is no memory, once a resize is under way */

/* In the place of libc's. An insert that has its entry in the table begins a resize, and populates memory for it:
 * this is between the entry and the bit. */
int madvise(void *address, size_t bytes, int advice)
{
    struct bid_build_id id;
    if (late && bid_lookup(table, (uintptr_t)late, &id) == BID_OK) {
        CHECK_STATUS(bid_inode_evict(table, late), BID_ABSENT);
        late = NULL;
        evicted = 1;
    }
    if (evicted && bid_resizing(table) && advice != MADV_HUGEPAGE) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

/* An associate that comes too late removes its entry again, also without memory. */
static void evicted_in_between(void)
{
    static struct bid_inode inodes[20000];
    struct bid_build_id id;
    struct bid_inode *next = inodes;
    int status;
    do {
        CHECK(next < inodes + sizeof inodes / sizeof *inodes);
        late = next++;
        bid_inode_init(late, 1, 2, 3);
        status = bid_inode_associate(table, next - 1, "late", 4);
    } while (!evicted);
    CHECK_STATUS(status, BID_E_EVICTED);
    CHECK(bid_resizing(table));
    CHECK_STATUS(bid_lookup(table, (uintptr_t)(next - 1), &id), BID_ABSENT);
    evicted = 0;
    while (--next != inodes)
        CHECK_STATUS(bid_inode_evict(table, next - 1), BID_OK);
    CHECK(bid_count(table) == 0);
}

/* What is left if it could not: the entry, and both bits. The next evict removes it. */
static void evicted_again(void)
{
    struct bid_build_id id;
    bid_inode_init(&inode, 1, 2, 3);
    CHECK_STATUS(associate(1), BID_OK);
    inode.flags |= 2; /* BID_INODE_DYING of csrc/inode/inode.c: as of the evict that came first, and found nothing */
    CHECK_STATUS(associate(1), BID_E_EVICTED);
    CHECK_STATUS(bid_inode_lookup(table, &inode, &id), BID_OK);
    CHECK_STATUS(bid_inode_evict(table, &inode), BID_OK);
    CHECK(bid_count(table) == 0);
}

int main(void)
{
    table = make_table((struct bid_options){.id_size = 20});
    reuse();
    evicted_in_between();
    evicted_again();
    race(1);
    race(0);
    bid_destroy(table);
    return 0;
}
