/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tables in memory that others read: of a BPF map, or of other processes.
 *
 * One process updates, by the functions of table.h. Others see the same memory, mostly at another address, and
 * read it by one base: all that a reader comes to lies in the region, and every address in it is one of the updating
 * process. The header at the region's start says what was mapped where:
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
 *     what the thread that observes waits for begins here
 *     bid_region_lookup(region, 0, key, &id);
 *     and ends here
 *
 * Caveats
 * -------
 * - Readers trust the updating process. Memory that they may write is memory in which they may do anything to it.
 * - A reader that nobody waits for reads memory that is used again: wrong answers, or an address outside of the region.
 * - Whether a page is present in a reader's mapping is the reader's to see to, as by MAP_POPULATE. What is in a BPF
 *   map is.
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

/* At the region's start. What changes after bid_region_init() are the tables. */
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
 * fork does not copy it. Nobody may read meanwhile. *allocator gives out the region's memory, and takes it back, for
 * as long as the region is mapped here. What it maps it also zeroes. Its progress is wait-free; where several threads
 * take memory at once and it is nearly used up, one may find none that could have had some. Context: thread. Progress:
 * wait-free. Memory: none beside the region. Returns: BID_OK; BID_E_NULL; BID_E_REGION: not at a page, or fewer bytes
 * than the header and one page take. */
BID_PUBLIC int bid_region_init(void *memory, size_t bytes, struct bid_region **region, struct bid_allocator *allocator);

/* Lets readers find a table in a region, by a number below BID_REGION_TABLES; with NULL, no longer. Before
 * bid_destroy() the caller unpublishes the table, and waits for the readers who may have seen it. Context: thread.
 * Progress: wait-free. Memory: none. Returns: BID_OK; BID_E_NULL; BID_E_REGION: the table is not in this region, or
 * the number is too large. */
BID_PUBLIC int bid_region_publish(struct bid_region *region, unsigned number, const struct bid_table *table);

/* Counts the bytes of a region that are not given out.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number. */
BID_PUBLIC uint64_t bid_region_free(const struct bid_region *region);

/* For readers: the region in memory that is mapped here.
 * Context: any. Progress: wait-free. Memory: none.
 * Returns: BID_OK; BID_E_NULL; BID_E_REGION: no region begins there, it is of another layout, or it has more bytes. */
BID_PUBLIC int bid_region_open(const void *memory, size_t bytes, const struct bid_region **region);

/* As bid_lookup(), of the table with this number, through the region as it is mapped here. It writes nothing but *id,
 * holds no pin, and is protected by what the thread that observes waits for. Context: any. Progress: wait-free, at
 * most the two longest probe sequences. Memory: none. Returns: BID_OK, BID_ABSENT (also if there is no such table),
 * BID_NO_BUILD_ID. */
BID_PUBLIC int bid_region_lookup(const struct bid_region *region, unsigned number, uint64_t key,
                                 struct bid_build_id *id);

#ifdef __cplusplus
}
#endif
#endif
