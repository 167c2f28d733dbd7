/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed buckets with a spinlock each; readers take it too. The simplest table on the side, and the reason why the
 * thread said that one "isn't compatible with usage from NMI context due to locking": a lookup that interrupts the
 * holder of its bucket's lock on the same processor spins for ever.
 *
 * Progress: blocking, lookups included.
 */
#include "rivals.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct spinlock_entry {
    struct spinlock_entry *next;
    uint64_t key;
    struct bid_build_id id;
};

struct spinlock_bucket {
    atomic_flag lock;
    struct spinlock_entry *first;
};

struct spinlock_table {
    uint64_t buckets; /* a power of two */
    struct spinlock_bucket bucket[];
};

static void *spinlock_create(uint64_t expected_entries, uint64_t seed)
{
    uint64_t buckets = 1;
    (void)seed;
    while (buckets < expected_entries)
        buckets *= 2;
    struct spinlock_table *table = calloc(1, sizeof *table + buckets * sizeof table->bucket[0]);
    if (table)
        table->buckets = buckets;
    return table;
}

static void spinlock_destroy(void *design)
{
    struct spinlock_table *table = design;
    for (uint64_t i = 0; table && i < table->buckets; i++) {
        struct spinlock_entry *entry = table->bucket[i].first, *next;
        for (; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(table);
}

static struct spinlock_bucket *spinlock_enter(struct spinlock_table *table, uint64_t key)
{
    uint64_t mixed = key * 0x9e3779b97f4a7c15ull;
    struct spinlock_bucket *bucket = &table->bucket[(mixed ^ mixed >> 32) & (table->buckets - 1)];
    while (atomic_flag_test_and_set_explicit(&bucket->lock, memory_order_acquire))
        ;
    return bucket;
}

static void spinlock_leave(struct spinlock_bucket *bucket)
{
    atomic_flag_clear_explicit(&bucket->lock, memory_order_release);
}

/* The link that points to the key's entry, or the last one. */
static struct spinlock_entry **spinlock_find(struct spinlock_bucket *bucket, uint64_t key)
{
    struct spinlock_entry **link = &bucket->first;
    while (*link && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

static void spinlock_fill(struct spinlock_entry *entry, uint32_t generation, const void *id, size_t length)
{
    memset(&entry->id, 0, sizeof entry->id);
    entry->id.generation = generation;
    entry->id.length = (uint8_t)length;
    if (length)
        memcpy(entry->id.bytes, id, length);
}

static int spinlock_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct spinlock_bucket *bucket = spinlock_enter(design, key);
    struct spinlock_entry *entry = bucket->first;
    uint32_t records = entry != NULL;
    for (; entry && entry->key != key; entry = entry->next)
        records += entry->next != NULL;
    if (entry)
        *id = entry->id;
    spinlock_leave(bucket);
    if (cost)
        *cost = (struct bid_probe_cost){.slots = 1, .records = records};
    return !entry ? BID_ABSENT : id->length ? BID_OK : BID_NO_BUILD_ID;
}

static int spinlock_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    struct bid_build_id found;
    int status = spinlock_lookup(design, key, &found, NULL);
    if (status == BID_ABSENT)
        return status;
    if (found.generation != generation)
        return BID_STALE;
    *id = found;
    return status;
}

static int spinlock_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct spinlock_entry *entry = malloc(sizeof *entry);
    if (!entry)
        return BID_E_NO_MEMORY;
    entry->next = NULL;
    entry->key = key;
    spinlock_fill(entry, generation, id, length);
    struct spinlock_bucket *bucket = spinlock_enter(design, key);
    struct spinlock_entry **link = spinlock_find(bucket, key);
    int exists = *link != NULL;
    if (!exists)
        *link = entry;
    spinlock_leave(bucket);
    if (exists)
        free(entry);
    return exists ? BID_EXISTS : BID_OK;
}

static int spinlock_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct spinlock_bucket *bucket = spinlock_enter(design, key);
    struct spinlock_entry *entry = *spinlock_find(bucket, key);
    if (entry)
        spinlock_fill(entry, generation, id, length);
    spinlock_leave(bucket);
    return entry ? BID_OK : BID_ABSENT;
}

static int spinlock_remove(void *design, uint64_t key)
{
    struct spinlock_bucket *bucket = spinlock_enter(design, key);
    struct spinlock_entry **link = spinlock_find(bucket, key), *entry = *link;
    if (entry)
        *link = entry->next;
    spinlock_leave(bucket);
    free(entry);
    return entry ? BID_OK : BID_ABSENT;
}

const struct bid_design bid_design_spinlock = {
    .name = "spinlock",
    .summary = "fixed buckets with a spinlock each, which readers take",
    .create = spinlock_create,
    .destroy = spinlock_destroy,
    .lookup = spinlock_lookup,
    .lookup_generation = spinlock_lookup_generation,
    .insert = spinlock_insert,
    .replace = spinlock_replace,
    .remove = spinlock_remove,
};
