/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The protocol on inodes: ASSOCIATES threads (0 to 2) that associate one inode, and with EVICT one that evicts it, or with
 * REUSE one that gives its address to another inode afterwards; with READER one that looks up twice. Without ASSOCIATES
 * the inode is associated before.
 */
#include "model.h"

/* As model_update(): in the form for NMI context, and without the compound literals that the model checker cannot follow. */
static int model_inode_update(enum bid_kind kind, uint64_t key, uint32_t generation, int match, const void *id)
{
    struct bid_operation op = {.kind = kind, .key = key, .generation = generation, .match_generation = match, .id = id};
    op.length = id ? 1 : 0;
    return bid_update(&table, &op);
}
#define bid_insert(table, key, generation, id, length) model_inode_update(BID_INSERT, key, generation, 0, id)
#define bid_remove(table, key) model_inode_update(BID_REMOVE, key, 0, 0, NULL)
#define bid_remove_generation(table, key, generation) model_inode_update(BID_REMOVE, key, generation, 1, NULL)

#include "../inode/inode.c"

#ifndef ASSOCIATES
#define ASSOCIATES 0
#endif

static struct bid_inode inode;
static int associated[2], evicted;

static int associate(uint8_t value)
{
    return bid_inode_associate(&table, &inode, &value, 1);
}

/* Who is told that the inode has an ID finds one, unless it is evicted. */
static void associate_as(int n)
{
    struct bid_build_id id;
    model_enter(1 + n);
    associated[n] = associate(1);
#ifndef EVICT
    assert(bid_inode_lookup(&table, &inode, &id) == BID_OK);
#else
    (void)id;
#endif
}

static inline void *associate_first(void *unused)
{
    associate_as(0);
    return unused;
}

static inline void *associate_second(void *unused)
{
    associate_as(1);
    return unused;
}

static inline void *evict(void *unused)
{
    model_enter(3);
    evicted = bid_inode_evict(&table, &inode);
    return unused;
}

/* The entry of the inode that had this address before is gone, or it is stale. */
static inline void *reuse(void *unused)
{
    model_enter(3);
    assert(bid_inode_evict(&table, &inode) == BID_OK);
    bid_inode_init(&inode, 0, 0, 2);
    assert(associate(2) == BID_OK);
    return unused;
}

/* Absent, found, absent: in this order, and each at most once. */
static inline void *reader(void *unused)
{
    model_enter(2);
    struct bid_build_id id;
    int state = ASSOCIATES ? 0 : 1;
    for (int i = 0; i < 2; i++) {
#ifdef REUSE
        int status = bid_lookup_generation(&table, bid_inode_key(&inode), 2, &id);
        assert(status == BID_ABSENT || status == BID_STALE || (status == BID_OK && id.bytes[0] == 2));
#else
        int status = bid_inode_lookup(&table, &inode, &id);
        assert(status == BID_ABSENT || (status == BID_OK && id.bytes[0] == 1));
        if ((status == BID_OK) != (state == 1))
            state++;
        assert(state <= 2);
#endif
    }
    (void)state;
    return unused;
}

/* Of several associates the first wins; of an associate and an evict always the evict. */
static inline void check_end(void)
{
    struct bid_build_id id;
    int status = bid_lookup(&table, bid_inode_key(&inode), &id);
#ifdef EVICT
    assert(status == BID_ABSENT && (evicted == BID_OK || evicted == BID_ABSENT));
    for (int i = 0; i < ASSOCIATES; i++)
        assert(associated[i] == BID_OK || associated[i] == BID_EXISTS || associated[i] == BID_E_EVICTED);
#else
    assert(status == BID_OK);
    if (ASSOCIATES == 2)
        assert(associated[0] + associated[1] == BID_OK + BID_EXISTS);
#endif
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    bid_inode_init(&inode, 0, 0, 1);
    if (!ASSOCIATES)
        assert(associate(1) == BID_OK);
    else
        model_start(&threads, associate_first);
    if (ASSOCIATES == 2)
        model_start(&threads, associate_second);
#ifdef READER
    model_start(&threads, reader);
#endif
#ifdef EVICT
    model_start(&threads, evict);
#endif
#ifdef REUSE
    model_start(&threads, reuse);
#endif
    model_join(&threads);
    check_end();
    return 0;
}
