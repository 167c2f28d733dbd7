/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Resolving an address: the lookup side, an object file of its own. Outside it calls bid_inode_lookup(), which is one
 * load and a lookup in the table, and bid_pin() and bid_unpin() of the table's lookup path. All of them may be called
 * wherever this may.
 *
 * Progress: wait-free. The search halves a range of at most BID_MAPS_MAX_RANGES, whatever the writers do: there is no
 * retry, for the snapshot that was current when the pointer was read stays as it is until the pin goes.
 */
#include "resolve.h"

_Static_assert(sizeof(struct bid_stack_build_id) == 32, "the layout of the kernel's struct bpf_stack_build_id");

static inline const struct bid_range *bid_range_find(const struct bid_snapshot *snapshot, uint64_t ip)
{
    const struct bid_range *first = snapshot->ranges;
    uint64_t n = snapshot->count; /* if there is a range for ip, it is one of n from first on */
    while (n > 1) {
        uint64_t half = n / 2;
        first = first[half].start <= ip ? first + half : first;
        n -= half;
    }
    return n && first->start <= ip && ip < first->end ? first : NULL;
}

static inline int bid_reason_of(int status, const struct bid_build_id *id)
{
    if (status == BID_OK)
        return id->length > BID_STACK_ID_SIZE ? BID_RESOLVE_LONG_ID : BID_RESOLVED;
    if (status == BID_STALE)
        return BID_RESOLVE_STALE;
    return status == BID_NO_BUILD_ID ? BID_RESOLVE_NO_BUILD_ID : BID_RESOLVE_UNKNOWN_FILE;
}

static inline void bid_stack_record_ip(struct bid_stack_build_id *record, uint64_t ip)
{
    record->status = BID_STACK_IP;
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        record->build_id[i] = 0;
    record->ip = ip;
}

static inline void bid_stack_record_fill(struct bid_stack_build_id *record, uint64_t offset,
                                         const struct bid_build_id *id)
{
    record->status = BID_STACK_VALID;
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        record->build_id[i] = i < id->length ? id->bytes[i] : 0;
    record->offset = offset;
}

/* What is said of all addresses in the range, NULL: in none. */
static inline int bid_resolve_range(const struct bid_maps *maps, const struct bid_range *range, struct bid_build_id *id)
{
    if (!range)
        return BID_RESOLVE_NO_MAPPING;
    if (!range->file)
        return BID_RESOLVE_NO_FILE;
    return bid_reason_of(bid_inode_lookup(maps->table, &range->file->inode, id), id);
}

int bid_resolve(const struct bid_maps *maps, uint64_t ip, struct bid_stack_build_id *record, struct bid_build_id *id)
{
    struct bid_build_id own;
    bid_stack_record_ip(record, ip);
    if (!id)
        id = &own;
    struct bid_pin pin = bid_pin(maps->pins);
    const struct bid_snapshot *snapshot = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) pairs with publish() */
    const struct bid_range *range = bid_range_find(snapshot, ip);
    int reason = bid_resolve_range(maps, range, id);
    if (reason == BID_RESOLVED)
        bid_stack_record_fill(record, ip - range->start + range->offset, id);
    bid_unpin(maps->pins, pin);
    return reason;
}

/* Frames of a stack that follow each other are often of one range: its file is asked for once. */
size_t bid_resolve_many(const struct bid_maps *maps, const uint64_t *ips, size_t count,
                        struct bid_stack_build_id *records, uint8_t *reasons)
{
    struct bid_build_id id;
    const struct bid_range *range = NULL;
    int reason = BID_RESOLVE_NO_MAPPING;
    size_t resolved = 0;
    struct bid_pin pin = bid_pin(maps->pins);
    const struct bid_snapshot *snapshot = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) pairs with publish() */
    for (size_t i = 0; i < count; i++) {
        uint64_t ip = ips[i];
        if (!range || ip < range->start || ip >= range->end) {
            range = bid_range_find(snapshot, ip);
            reason = bid_resolve_range(maps, range, &id);
        }
        bid_stack_record_ip(&records[i], ip);
        if (reason == BID_RESOLVED)
            bid_stack_record_fill(&records[i], ip - range->start + range->offset, &id);
        if (reasons)
            reasons[i] = (uint8_t)reason;
        resolved += reason == BID_RESOLVED;
    }
    bid_unpin(maps->pins, pin);
    return resolved;
}

uint64_t bid_maps_published(const struct bid_maps *maps)
{
    return bid_load(&maps->published, BID_RELAXED);
}

uint64_t bid_maps_waiting(const struct bid_maps *maps)
{
    return bid_load(&maps->waiting, BID_RELAXED);
}
