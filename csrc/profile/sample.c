/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the signal handler does. It may interrupt itself, and the same in another thread or process, anywhere: an entry
 * is claimed by one compare-and-swap of its key, and counts are added to. Progress: wait-free; see PROBES.
 */
#define _GNU_SOURCE
#include "profile.h"

#include "../resolve/resolve.h"
#include "../table/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PROBES 64 /* entries that are looked at for one sample */
#define HEADER 4096

/* 64 bits that stand for (reason, address, build ID). Two of 50,000 have the same by a chance of 10^-10; they would be
 * counted as one. */
static uint64_t key_of(int reason, uint64_t address, const struct bid_build_id *id)
{
    uint64_t word, key = bid_mix(address, (uint64_t)reason + 1);
    for (unsigned i = 0; i < id->length; i += sizeof word) {
        word = 0;
        memcpy(&word, id->bytes + i, id->length - i < sizeof word ? id->length - i : sizeof word);
        key = bid_mix(key, word);
    }
    return key ? key : 1;
}

static void count(struct bid_profile *profile, int reason, uint64_t address, const struct bid_build_id *id)
{
    uint64_t key = key_of(reason, address, id);
    for (unsigned i = 0; i < PROBES; i++) {
        struct bid_profile_entry *entry = &profile->table[(key + i) & (profile->entries - 1)];
        uint64_t found = bid_load(&entry->key, BID_RELAXED);
        if (!found && bid_cas(&entry->key, &found, key, BID_RELAXED)) {
            entry->reason = reason;
            entry->address = address;
            entry->id_length = id->length;
            memcpy(entry->id, id->bytes, id->length);
            bid_store(&entry->filled, 1, memory_order_release); /* for whoever reads the file */
            found = key;
        }
        if (found == key) {
            bid_add(&entry->count, 1, BID_RELAXED);
            return;
        }
    }
    bid_add(&profile->lost, 1, BID_RELAXED);
}

/* What a profiler has to do that knows nothing beforehand: look into the first page of the file, if it is in memory.
 * mincore() stands for the kernel's look into its page cache. */
static void parse(struct bid_profile *profile, const struct bid_maps *maps, uint64_t ip)
{
    struct bid_elf elf;
    unsigned char there = 0;
    uint64_t header = bid_resolve_header(maps, ip);
    if (header && mincore((void *)(uintptr_t)header, HEADER, &there) == 0 && !(there & 1)) {
        bid_add(&profile->not_in_memory, 1, BID_RELAXED);
        return;
    }
    int found = there & 1 && bid_elf_parse(&elf, BID_ELF_IMAGE, (const void *)(uintptr_t)header, HEADER) == BID_ELF_OK;
    bid_add(found ? &profile->parsed : &profile->not_parsed, 1, BID_RELAXED);
}

void bid_profile_sample(struct bid_profile *profile, const struct bid_maps *maps, uint64_t ip, uint64_t ticks)
{
    struct bid_stack_build_id record;
    struct bid_build_id id = {0};
    int before = errno, reason = bid_resolve(maps, ip, &record, &id);
    if (reason != BID_RESOLVED)
        id.length = 0;
    bid_add(&profile->samples, 1, BID_RELAXED);
    bid_add(&profile->ticks, ticks, BID_RELAXED);
    bid_add(&profile->reasons[reason], 1, BID_RELAXED);
    count(profile, reason, reason == BID_RESOLVED ? record.offset : ip, &id);
    if (profile->flags & BID_PROFILE_PARSE)
        parse(profile, maps, ip);
    errno = before;
}
