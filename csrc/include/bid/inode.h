/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The protocol on inodes, as Al Viro proposed it. The key in the table is the inode's address. A bit in the inode's
 * flags says whether the table has an entry. Lookups and eviction look at the bit first, so a file without an entry
 * costs one load. Embed struct bid_inode in an object, or use it as it is. The caller keeps it alive during each call.
 *
 * Who wins:
 * - Of several associates the first. The others return BID_EXISTS.
 * - Of an associate and an evict always the evict. Once both have returned, the table has no entry for the inode. The
 *   associate returned BID_OK if it came first, else BID_E_EVICTED. For its other errors see bid_inode_associate().
 *
 * bid.h explains the words Context, Progress, Memory and Returns.
 */
#ifndef BID_PUBLIC_INODE_H
#define BID_PUBLIC_INODE_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

struct bid_inode {
    uint64_t device;
    uint64_t number;
    uint32_t generation;
    uint32_t flags; /* accessed atomically by the functions below only */
};

/* Makes *inode a living inode without a build ID; also at an address that is used again after bid_inode_evict().
 * Context: any. Progress: wait-free. Memory: none. */
BID_PUBLIC void bid_inode_init(struct bid_inode *inode, uint64_t device, uint64_t number, uint32_t generation);

/* Inserts the build ID (length 0: known to have none), then sets the bit. If an evict came first, the entry is removed
 * again. If that fails, the error is returned and the entry stays: call bid_inode_evict() once more, which removes it.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK, BID_EXISTS, BID_E_EVICTED, or as bid_insert() and bid_remove(). */
BID_PUBLIC int bid_inode_associate(struct bid_table *table, struct bid_inode *inode, const void *id, size_t length);

/* Marks the inode as dying, and removes its entry if the bit is set. May be called again.
 * Context: thread. Progress: lock-free. Memory: as bid_remove(). May change errno.
 * Returns: BID_OK if there was an entry, BID_ABSENT if not, or an error of bid_remove() (call it again then). */
BID_PUBLIC int bid_inode_evict(struct bid_table *table, struct bid_inode *inode);

/* Looks up the build ID of an inode.
 * Context: any. Progress: wait-free: one load if the bit is clear, else as bid_lookup_generation(). Memory: none.
 * Returns: as bid_lookup_generation(); BID_ABSENT if the bit is clear. */
BID_PUBLIC int bid_inode_lookup(const struct bid_table *table, const struct bid_inode *inode, struct bid_build_id *id);

#ifdef __cplusplus
}
#endif
#endif
