/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How a reader elsewhere finds its way: addresses of the updating process, and the number of the layout of all that it
 * reads.
 */
#ifndef BID_LAYOUT_H
#define BID_LAYOUT_H

#include "../table/table.h"
#include "bid/region.h"

/* Changes with every offset that a reader uses, so that readers of another build find out before they read. */
#define BID_REGION_LAYOUT                                                                                              \
    ((uint32_t)(sizeof(struct bid_table) + 31 * sizeof(struct bid_array) + 97 * sizeof(struct bid_record) +            \
                257 * offsetof(struct bid_table, arrays) + 521 * offsetof(struct bid_array, seed) +                    \
                1031 * offsetof(struct bid_array, future) + 2053 * BID_SEQUENCE_SLOTS + 4099 * BID_BUCKET_BYTES))

/* Where something in the region is here. */
static inline const void *bid_region_here(const struct bid_region *region, const void *there)
{
    return (const char *)region + ((uintptr_t)there - region->address);
}

static inline bid_word *bid_region_table(const struct bid_region *region, unsigned number)
{
    _Static_assert(sizeof(bid_word) == sizeof region->tables[0], "an offset is accessed as an atomic word");
    return (bid_word *)(uintptr_t)&region->tables[number];
}

#endif
