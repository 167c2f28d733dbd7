/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the signal handler does. It may interrupt the same in another thread or process anywhere: a count is claimed by
 * one compare-and-swap of its key, and added to. Progress: wait-free: the search halves the view, and see PROBES.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <sys/mman.h>

#define PROBES 64 /* counts that are looked at for one sample */
#define HEADER 4096

const struct bid_view_range *bid_view_find(const struct bid_view_range *ranges, uint64_t count, uint64_t ip)
{
    const struct bid_view_range *first = ranges;
    uint64_t n = count; /* if there is a range for ip, it is one of n from first on */
    while (n > 1) {
        uint64_t half = n / 2;
        first = first[half].start <= ip ? first + half : first;
        n -= half;
    }
    return n && first->start <= ip && ip < first->end ? first : NULL;
}

uint64_t bid_agent_key(const struct bid_view_range *range, uint64_t ip)
{
    uint64_t number = range ? range->module : BID_SAMPLE_NO_MAPPING;
    uint64_t address = number < BID_MODULE_FIRST ? ip : ip - range->start + range->offset;
    return number << BID_ADDRESS_BITS | (address & ((1ull << BID_ADDRESS_BITS) - 1));
}

struct bid_count *bid_agent_count(struct bid_recording *recording, uint64_t key)
{
    uint64_t hash = key * 0x9e3779b97f4a7c15ull; /* the top bits depend on every bit of the key */
    for (unsigned i = 0; i < PROBES; i++) {
        struct bid_count *count = &recording->counts[((hash >> 32) + i) % BID_COUNTS];
        uint64_t found = bid_load(&count->key, BID_RELAXED);
        if (found == key || (!found && (bid_cas(&count->key, &found, key, BID_RELAXED) || found == key)))
            return count;
    }
    return NULL;
}

/* What a profiler has to do that knows nothing beforehand: look into the first page of the file, if it is in memory.
 * mincore() stands for the kernel's look into its page cache. */
static void parse(struct bid_recording *recording, uint64_t header)
{
    struct bid_elf elf;
    unsigned char there = 0;
    int before = errno;
    if (header && mincore((void *)(uintptr_t)header, HEADER, &there) == 0 && !(there & 1)) {
        bid_add(&recording->not_in_memory, 1, BID_RELAXED);
    } else {
        int found =
            there & 1 && bid_elf_parse(&elf, BID_ELF_IMAGE, (const void *)(uintptr_t)header, HEADER) == BID_ELF_OK;
        bid_add(found ? &recording->parsed : &recording->not_parsed, 1, BID_RELAXED);
    }
    errno = before;
}

void bid_agent_sample(struct bid_recording *recording, struct bid_slot *slot, const struct bid_interrupted *at,
                      uint64_t ticks)
{
    static const struct bid_view empty;
    bid_add(&slot->inside, 1, memory_order_seq_cst);                       /* (N) pairs with the server's load of it */
    uint64_t confirmed = bid_load(&slot->confirmed, memory_order_acquire); /* (L) pairs with bid_view_refresh() */
    uint64_t offset = bid_load(&slot->view, memory_order_seq_cst); /* (V) (N) pairs with the server's publication */
    const struct bid_view *view = offset ? (const void *)((char *)recording + offset) : &empty;
    const struct bid_view_range *range = bid_view_find(view->ranges, view->count, at->ip);
    uint64_t header = range ? range->header : 0;
    uint32_t reason = range ? range->reason : BID_SAMPLE_NO_MAPPING;
    uint64_t key = bid_agent_key(range, at->ip);
    if (recording->flags & BID_PROFILE_STACKS)
        bid_agent_stack(recording, slot, view, confirmed, at, key);
    bid_sub(&slot->inside, 1, memory_order_release); /* (N) the view is not read any more */
    bid_add(&recording->samples, 1, BID_RELAXED);
    bid_add(&recording->ticks, ticks, BID_RELAXED);
    bid_add(&recording->reasons[reason], 1, BID_RELAXED);
    struct bid_count *count = bid_agent_count(recording, key);
    bid_add(count ? &count->count : &recording->lost, 1, BID_RELAXED);
    if (recording->flags & BID_PROFILE_PARSE)
        parse(recording, header);
}
