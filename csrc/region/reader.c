/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups in a region by whoever has it mapped: what bid_find() of table/lookup.c does, where every address is
 * another's. The reading of buckets is that of every lookup; it is given a copy of an array's descriptor with the
 * addresses of this mapping.
 *
 * Why the answer is right is the argument of table/lookup.c: which array decides does not depend on who reads.
 */
#include "layout.h"

#include "../table/probe.h"

int bid_region_open(const void *memory, size_t bytes, const struct bid_region **result)
{
    if (!memory || !result)
        return BID_E_NULL;
    const struct bid_region *region = memory;
    *result = NULL;
    if (bytes < sizeof *region || region->magic != BID_REGION_MAGIC || region->version != BID_REGION_VERSION ||
        region->layout != BID_REGION_LAYOUT || region->bytes > bytes)
        return BID_E_REGION;
    *result = region;
    return BID_OK;
}

/* One array of the table. */
static struct bid_found bid_region_probe(const struct bid_region *region, const struct bid_array *array, uint64_t key)
{
    struct bid_array here = {
        .base = (char *)(uintptr_t)bid_region_here(region, array->base),
        .buckets = array->buckets,
        .seed = array->seed,
    };
    return bid_probe(&here, key, NULL);
}

static struct bid_found bid_region_find(const struct bid_region *region, const struct bid_table *table, uint64_t key)
{
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    struct bid_found found = bid_region_probe(region, head, key);
    if (!future || (found.record && !(found.word & BID_FROZEN)))
        return found;
    struct bid_found other = bid_region_probe(region, future, key);
    return other.record ? other : found;
}

int bid_region_lookup(const struct bid_region *region, unsigned number, uint64_t key, struct bid_build_id *id)
{
    uint64_t offset = 0;
    if (number < BID_REGION_TABLES)
        offset = bid_load(bid_region_table(region, number), BID_H_ACQUIRE); /* (H) pairs with bid_region_publish() */
    if (!offset)
        return BID_ABSENT;
    struct bid_found found = bid_region_find(region, (const struct bid_table *)((const char *)region + offset), key);
    if (!found.record || !bid_word_is_live(found.word))
        return BID_ABSENT;
    id->generation = found.record->generation;
    id->length = (uint8_t)bid_word_length(found.word);
    if (!id->length)
        return BID_NO_BUILD_ID;
    for (unsigned i = 0; i < id->length && i < BID_ID_MAX; i++)
        id->bytes[i] = ((const uint8_t *)found.record)[BID_RECORD_ID + i]; /* a long ID runs on into the next units */
    return BID_OK;
}
