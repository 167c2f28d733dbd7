/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tables in memory that others read: of a BPF map, or of other processes.
 *
 * One process updates, by the functions of table.h. Others have the same memory mapped, usually at another address. All
 * that a reader needs lies in the region, and all addresses in it are those of the updating process. The header at the
 * region's start says where it lies there, so a reader computes:
 *
 *     here = the region here + (address in the region - region->address)
 *
 * The updating process:
 *
 *     struct bid_allocator allocator;
 *     bid_region_init(memory, bytes, &region, &allocator);
 *     struct bid_options options = {.size = sizeof options, .allocator = &allocator, .flavor = &bid_flavor_shared};
 *     bid_create(&table, &options);
 *     bid_region_publish(region, 0, table);
 *     a thread observes the readers' grace periods: see bid_grace_begin()
 *
 * A reader, in a process that has the memory mapped for reading:
 *
 *     bid_region_open(memory, bytes, &region);
 *     enter a section that the observing thread waits for, such as one of RCU
 *     bid_region_lookup(region, 0, key, &id);
 *     leave it
 *
 * Caveats
 * -------
 * - Readers trust the updating process. A reader that may write the memory may damage the tables, and so the updating
 *   process: let readers map it for reading only.
 * - If no thread waits for a reader, it may read memory that is used again: wrong answers, or an address outside of the
 *   region.
 * - The reader makes the pages of its mapping present, for example by MAP_POPULATE; otherwise a lookup may fault. The
 *   pages of a BPF map always are.
 * - The child of a fork may read by bid_region_lookup(), as any other process, and may not update.
 */
#ifndef BID_PUBLIC_REGION_H
#define BID_PUBLIC_REGION_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BID_REGION_MAGIC 0x6e6f696765726962ull /* "biregion", little-endian */
#define BID_REGION_VERSION 1                   /* of this header; `layout` is that of all else */
#define BID_REGION_TABLES 4

/* At the region's start. After bid_region_init() only `tables` changes. */
struct bid_region {
    uint64_t magic;
    uint32_t version;
    uint32_t layout;                    /* of tables, arrays, buckets and records: see csrc/region/layout.h */
    uint64_t bytes;                     /* in all */
    uint64_t address;                   /* of this header in the updating process */
    uint64_t page;                      /* blocks of memory are of so many bytes, or a multiple */
    uint64_t blocks;                    /* offset of the first one; before it comes a bit for each page */
    uint64_t tables[BID_REGION_TABLES]; /* offsets of struct bid_table; 0: none */
};

/* Makes a region of memory that is mapped here for reading and writing, at a page. It must be shared memory, for a
 * fork does not copy it. No reader may be there meanwhile. *allocator gives out the region's memory, and takes it back,
 * for as long as the region is mapped here. Memory that it maps is zeroed. Its functions are wait-free. If several
 * threads take memory at once and little is left, one of them may find none although there was enough for it.
 * Context: thread. Progress: wait-free. Memory: none beside the region.
 * Returns: BID_OK; BID_E_NULL; BID_E_REGION: not at a page, or fewer bytes than the header and one page take. */
BID_PUBLIC int bid_region_init(void *memory, size_t bytes, struct bid_region **region, struct bid_allocator *allocator);

/* Lets readers find a table in a region, by a number below BID_REGION_TABLES. NULL takes the table of that number away.
 * Before bid_destroy() the caller does that, and waits for the readers that may have found the table.
 * Context: thread. Progress: wait-free. Memory: none.
 * Returns: BID_OK; BID_E_NULL; BID_E_REGION: the table is not in this region, or not of bid_flavor_shared, or the
 * number is too large. */
BID_PUBLIC int bid_region_publish(struct bid_region *region, unsigned number, const struct bid_table *table);

/* Counts the bytes of a region that are not given out.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number. */
BID_PUBLIC uint64_t bid_region_free(const struct bid_region *region);

/* For readers: the region in memory that is mapped here.
 * Context: any. Progress: wait-free. Memory: none.
 * Returns: BID_OK; BID_E_NULL; BID_E_REGION: no region begins there, it is of another layout, or it has more bytes. */
BID_PUBLIC int bid_region_open(const void *memory, size_t bytes, const struct bid_region **region);

/* As bid_lookup(), in the table with this number, through the region as it is mapped here. It writes nothing but *id,
 * and holds no pin: the observing thread waits for it.
 * Context: any. Progress: wait-free, at most two probe sequences. Memory: none.
 * Returns: BID_OK, BID_ABSENT (also if there is no such table), BID_NO_BUILD_ID. */
BID_PUBLIC int bid_region_lookup(const struct bid_region *region, unsigned number, uint64_t key,
                                 struct bid_build_id *id);

#ifdef __cplusplus
}
#endif
#endif
