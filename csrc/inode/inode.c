/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The flag-bit protocol on top of the table: associate, evict, lookup.
 *
 * The flags word has two bits. ASSOCIATED: the table has an entry for this inode. DYING: evict has begun, or is over.
 * Both are set by an atomic or, so they come in one order, and that order decides every race:
 *   - ASSOCIATED before DYING: evict sees the bit, and with it the entry (I); it removes it.
 *   - DYING before ASSOCIATED: associate sees that it is too late, and removes what it has inserted. If that fails, the
 *     entry stays, and so does the bit. Associate then returns the error, and another evict sees the bit and removes
 *     the entry.
 * Without that error, the table has no entry of the inode when both have returned. A second associate finds the first's
 * entry and returns BID_EXISTS; it sets the bit as well, so that it never returns before the bit is set.
 */
#include "bid/inode.h"

#include "../table/bid_atomic.h"

/* (I) An evict that sees ASSOCIATED when it sets DYING sees the entry, too. Nothing else depends on the flags' order.
 * An associate that comes too late removes its own entry. A lookup that sees the bit before the entry gives the answer
 * of a moment before. */
#define BID_I_RELEASE memory_order_release
#define BID_I_ACQUIRE memory_order_acquire

#define BID_INODE_ASSOCIATED 1u
#define BID_INODE_DYING 2u

static _Atomic(uint32_t) *bid_inode_flags(const struct bid_inode *inode)
{
    _Static_assert(sizeof(_Atomic(uint32_t)) == sizeof inode->flags, "flags is accessed as an atomic word");
    return (_Atomic(uint32_t) *)&inode->flags;
}

static uint64_t bid_inode_key(const struct bid_inode *inode)
{
    return (uintptr_t)inode;
}

void bid_inode_init(struct bid_inode *inode, uint64_t device, uint64_t number, uint32_t generation)
{
    inode->device = device;
    inode->number = number;
    inode->generation = generation;
    bid_store(bid_inode_flags(inode), 0, BID_RELAXED); /* the caller publishes the inode */
}

/* An entry of another generation is what an eviction missed: it makes way. */
static int bid_inode_insert(struct bid_table *table, const struct bid_inode *inode, const void *id, size_t length)
{
    for (;;) {
        int status = bid_insert(table, bid_inode_key(inode), inode->generation, id, length);
        struct bid_build_id old;
        if (status != BID_EXISTS)
            return status;
        if (bid_lookup(table, bid_inode_key(inode), &old) == BID_ABSENT)
            continue;
        if (old.generation == inode->generation)
            return BID_EXISTS;
        status = bid_remove_generation(table, bid_inode_key(inode), old.generation);
        if (status < 0)
            return status;
    }
}

int bid_inode_associate(struct bid_table *table, struct bid_inode *inode, const void *id, size_t length)
{
    if (!table || !inode)
        return BID_E_NULL;
    if (bid_load(bid_inode_flags(inode), BID_RELAXED) & BID_INODE_DYING)
        return BID_E_EVICTED;
    int status = bid_inode_insert(table, inode, id, length);
    if (status < 0)
        return status;
    uint32_t before = bid_or(bid_inode_flags(inode), BID_INODE_ASSOCIATED, BID_I_RELEASE); /* (I) pairs with evict */
    if (!(before & BID_INODE_DYING))
        return status;
    int removed = bid_remove_generation(table, bid_inode_key(inode), inode->generation);
    return removed < 0 ? removed : BID_E_EVICTED;
}

int bid_inode_evict(struct bid_table *table, struct bid_inode *inode)
{
    if (!table || !inode)
        return BID_E_NULL;
    uint32_t before = bid_or(bid_inode_flags(inode), BID_INODE_DYING, BID_I_ACQUIRE); /* (I) pairs with associate */
    if (!(before & BID_INODE_ASSOCIATED))
        return BID_ABSENT;
    return bid_remove(table, bid_inode_key(inode));
}

int bid_inode_lookup(const struct bid_table *table, const struct bid_inode *inode, struct bid_build_id *id)
{
    if (!(bid_load(bid_inode_flags(inode), BID_RELAXED) & BID_INODE_ASSOCIATED))
        return BID_ABSENT;
    return bid_lookup_generation(table, bid_inode_key(inode), inode->generation, id);
}
