/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Regions, and the allocator of their memory: one bit for each page, set while somebody has it.
 *
 * Whoever wants n pages looks for n clear bits in a row, and sets them a word at a time from the first to the last.
 * Where another thread was quicker it clears those that it has set, and looks on behind them. So a call goes through
 * the bits once, whatever others do: wait-free, and a thread that stands still keeps what it had taken so far and
 * nothing else.
 *
 * Ordering: (R) bits are cleared by a release and set by an acquire, so all that was done in a block comes before its
 * next use.
 */
#include "layout.h"

#include "../process/memory.h"
#include "../table/platform.h"

#include <string.h>

static bid_word *bid_region_bits(const struct bid_region *region)
{
    return (bid_word *)(uintptr_t)(region + 1);
}

static uint64_t bid_region_pages(const struct bid_region *region)
{
    return (region->bytes - region->blocks) / region->page;
}

/* Of the bits from `first` on, n of them, those in their first word. */
static uint64_t bid_bits_mask(uint64_t first, uint64_t n)
{
    uint64_t from = first % 64, mask = n < 64 - from ? (1ull << n) - 1 : ~0ull;
    return mask << from;
}

static uint64_t bid_bits_next(uint64_t first)
{
    return first - first % 64 + 64;
}

/* All bits are this thread's, so to subtract them is to clear them, and no other. */
static void bid_bits_clear(bid_word *bits, uint64_t first, uint64_t end)
{
    for (; first < end; first = bid_bits_next(first))
        bid_sub(&bits[first / 64], bid_bits_mask(first, end - first),
                BID_R_RELEASE); /* (R) pairs with bid_bits_set() */
}

/* Whether all of them were clear, and are set now; else none is by this thread. */
static int bid_bits_set(bid_word *bits, uint64_t first, uint64_t end)
{
    for (uint64_t at = first; at < end; at = bid_bits_next(at)) {
        uint64_t mask = bid_bits_mask(at, end - at);
        uint64_t before = bid_or(&bits[at / 64], mask, BID_R_ACQUIRE); /* (R) pairs with bid_bits_clear() */
        if (!(before & mask))
            continue;
        bid_sub(&bits[at / 64], mask & ~before, BID_RELAXED); /* nothing was done there */
        bid_bits_clear(bits, first, at);
        return 0;
    }
    return 1;
}

static void *bid_region_map(void *context, size_t bytes, size_t present, size_t huge)
{
    struct bid_region *region = context;
    bid_word *bits = bid_region_bits(region);
    uint64_t wanted = (bytes + region->page - 1) / region->page, run = 0;
    (void)present, (void)huge;
    for (uint64_t page = 0; page < bid_region_pages(region); page++) {
        run = bid_load(&bits[page / 64], BID_RELAXED) >> page % 64 & 1 ? 0 : run + 1;
        if (run < wanted)
            continue;
        uint64_t first = page + 1 - wanted;
        if (!bid_bits_set(bits, first, page + 1)) {
            run = 0;
            continue;
        }
        return memset((char *)region + region->blocks + first * region->page, 0, wanted * region->page);
    }
    return NULL;
}

static int bid_region_populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context;
    return bid_platform_populate(address, bytes, lock);
}

static void bid_region_unmap(void *context, void **address, size_t bytes)
{
    struct bid_region *region = context;
    uint64_t first = (uint64_t)((char *)*address - (char *)region - region->blocks) / region->page;
    *address = NULL; /* a fork copies nothing of a region, so its child has nothing to lose */
    bid_bits_clear(bid_region_bits(region), first, first + (bytes + region->page - 1) / region->page);
}

int bid_region_init(void *memory, size_t bytes, struct bid_region **result, struct bid_allocator *allocator)
{
    if (!memory || !result || !allocator)
        return BID_E_NULL;
    *result = NULL;
    uint64_t page = bid_platform_page(), words = bytes / page / 64 + 1;
    uint64_t blocks = (sizeof(struct bid_region) + words * sizeof(bid_word) + page - 1) / page * page;
    if ((uintptr_t)memory % page || bytes < blocks + page)
        return BID_E_REGION;
    struct bid_region *region = memset(memory, 0, blocks);
    *region = (struct bid_region){
        .version = BID_REGION_VERSION,
        .layout = BID_REGION_LAYOUT,
        .bytes = bytes,
        .address = (uintptr_t)memory,
        .page = page,
        .blocks = blocks,
        .magic = BID_REGION_MAGIC,
    };
    *allocator = (struct bid_allocator){region, bid_region_map, bid_region_populate, bid_region_unmap};
    *result = region;
    return BID_OK;
}

int bid_region_publish(struct bid_region *region, unsigned number, const struct bid_table *table)
{
    if (!region)
        return BID_E_NULL;
    uint64_t offset = table ? (uintptr_t)table - (uintptr_t)region : 0;
    int inside = offset >= region->blocks && offset < region->bytes && region->bytes - offset >= sizeof *table;
    if (number >= BID_REGION_TABLES || (table && (!inside || !table->flavor->shared)))
        return BID_E_REGION;
    bid_store(bid_region_table(region, number), offset, BID_H_RELEASE); /* (H) pairs with bid_region_lookup() */
    return BID_OK;
}

uint64_t bid_region_free(const struct bid_region *region)
{
    uint64_t taken = 0, pages = bid_region_pages(region);
    for (uint64_t page = 0; page < pages; page += 64)
        taken += (uint64_t)__builtin_popcountll(bid_load(&bid_region_bits(region)[page / 64], BID_RELAXED));
    return (pages - taken) * region->page;
}
