/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Build IDs of the kernel's own inodes: Al Viro's protocol, on struct inode.
 *
 * The key is the address of the inode, the generation is i_generation. A file is associated when it is mapped for
 * execution, or when it is named; its entry goes when its inode is evicted. Two things keep an entry that was left
 * behind from being taken for another file's: a bit of i_flags, which a new inode at the same address does not have,
 * and the generation. Other code writes i_flags without atomic operations, so the bit may be lost: then lookups find
 * nothing, until the file is associated again.
 */
#ifndef BID_INODES_H
#define BID_INODES_H

#include <linux/fs.h>

#include "bid/table.h"

/* Reads the build ID of a file to which the caller has a reference, and enters it; or that it has none.
 * Context: thread; sleeps. Progress: blocking. Memory: may allocate.
 * Returns: BID_OK, BID_EXISTS (entered anew), or as bid_upsert(); -EIO: the file could not be read. */
int bid_kernel_associate(struct file *file);

/* The build ID of an inode that is kept from being freed by the caller: by a reference, or by RCU.
 * Context: any. Progress: wait-free: one load if the bit is clear, else as bid_lookup_generation(). Memory: none.
 * Returns: as bid_lookup_generation(); BID_ABSENT if the bit is clear. */
int bid_kernel_lookup(const struct inode *inode, struct bid_build_id *id);

/* The table of all inodes, for counts and walks. */
struct bid_table *bid_kernel_table(void);

/* What became of the inodes so far. */
struct bid_kernel_counts {
    atomic64_t associated;         /* files that were entered */
    atomic64_t mapped, not_mapped; /* noticed by their mapping; noticed, and no memory to say so */
    atomic64_t evicted;            /* entries that went with their inode */
    atomic64_t in_resize;          /* of those, in the midst of a resize */
    atomic64_t late;               /* entries that a worker removed, because memory was missing at that moment */
    atomic64_t left;               /* entries that stay until their address is associated again */
};
extern struct bid_kernel_counts bid_kernel_counts;

/* Evictions that the probe missed, because another probe was at work. Their entries stay, too. */
unsigned long bid_kernel_missed(void);

#endif
