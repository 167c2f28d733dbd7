/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table that "RCU readers anyway" suggests: fixed buckets, a chain and a lock in each, entries that are allocated
 * when the table is made. Readers follow the chain without the lock; an updater holds it. The BPF hash map of the
 * kernel is of this kind.
 *
 * The storm shows what it can and what it lacks:
 * - a lookup is right and never blocked, wherever it interrupts an updater;
 * - an update from a handler spins for ever, if the handler interrupted the holder of the same lock;
 * - an updater that is stopped for good stops every other updater of its bucket;
 * - the table does not grow: when its entries are used up, it refuses inserts.
 *
 * Entries come from a list, and go back to it after a grace period by the table's own pins. Both lists are lock-free,
 * so that nothing but the buckets' locks can block. A handler may call all functions: none calls malloc().
 *
 * Progress: lookups are bounded by the length of a chain; updates are blocking.
 */
#include "rcu.h"

#include "../../study/rivals/grace.h"
#include "../../study/rivals/lock.h"
#include "../../study/rivals/record.h"

#include <stdlib.h>

#define RCU_CHAIN 8    /* entries in a bucket's chain when the table is full: as of a table that was made for fewer */
#define RCU_SPARE 8192 /* entries beyond the limit, for those that wait for a grace period */
#define RCU_NONE 0u    /* of links, which are numbers of entries, plus one */

struct rcu_entry {
    _Atomic(uint32_t) next; /* in the chain */
    _Atomic(uint32_t) link; /* in one of the two lists */
    uint64_t epoch;         /* when it left the chain */
    uint64_t key;
    uint32_t generation;
    uint8_t length, bytes[BID_ID_MAX];
};

struct rcu_bucket {
    atomic_flag lock;
    _Atomic(uint32_t) first;
};

/* A list's head: the number of pops in the upper half, so that a pop notices others; a link in the lower one. */
struct rcu_table {
    struct rival_grace grace; /* its pins alone */
    _Atomic(uint64_t) free;
    _Atomic(uint64_t) retired;
    _Atomic(uint64_t) count;
    uint64_t limit, buckets; /* buckets: a power of two */
    struct rcu_entry *entries;
    struct rcu_bucket *bucket;
};

/* ------------------------------------------------------------------------------------------------- lists -- */

static void push(struct rcu_table *table, _Atomic(uint64_t) *list, struct rcu_entry *entry)
{
    uint64_t head = atomic_load(list), link = (uint64_t)(entry - table->entries) + 1;
    do
        atomic_store(&entry->link, (uint32_t)head);
    while (!atomic_compare_exchange_weak(list, &head, (head >> 32 << 32) | link));
}

static struct rcu_entry *pop(struct rcu_table *table, _Atomic(uint64_t) *list)
{
    uint64_t head = atomic_load(list);
    for (;;) {
        if ((uint32_t)head == RCU_NONE)
            return NULL;
        struct rcu_entry *entry = &table->entries[(uint32_t)head - 1];
        if (atomic_compare_exchange_weak(list, &head, ((head >> 32) + 1) << 32 | atomic_load(&entry->link)))
            return entry;
    }
}

/* Puts back into the free list what no reader can be in any more. */
static void collect(struct rcu_table *table)
{
    struct bid_pins *pins = table->grace.pins;
    uint32_t link = (uint32_t)atomic_fetch_and(&table->retired, ~(uint64_t)UINT32_MAX);
    bid_platform_barrier(pins); /* (S) pairs with rival_enter() */
    uint64_t oldest = bid_oldest_pin(pins);
    while (link != RCU_NONE) {
        struct rcu_entry *entry = &table->entries[link - 1];
        link = atomic_load(&entry->link);
        push(table, entry->epoch < oldest ? &table->free : &table->retired, entry);
    }
}

static void retire(struct rcu_table *table, struct rcu_entry *entry)
{
    entry->epoch = bid_epoch_pass(table->grace.pins); /* (E) pairs with bid_pin_enter() */
    push(table, &table->retired, entry);
}

/* ------------------------------------------------------------------------------------------------- table -- */

static void rcu_destroy(void *design)
{
    struct rcu_table *table = design;
    rival_grace_end(&table->grace);
    free(table->entries);
    free(table->bucket);
    free(table);
}

/* With room for that many entries. */
static void *rcu_create(uint64_t expected_entries, uint64_t seed)
{
    struct rcu_table *table = calloc(1, sizeof *table);
    uint64_t entries = expected_entries + RCU_SPARE;
    (void)seed;
    if (!table)
        return NULL;
    table->limit = expected_entries;
    for (table->buckets = 1; table->buckets < expected_entries / RCU_CHAIN && table->buckets < 1ull << 30;)
        table->buckets *= 2;
    table->entries = calloc(entries, sizeof *table->entries);
    table->bucket = calloc(table->buckets, sizeof *table->bucket);
    if (!table->entries || !table->bucket || rival_grace_init(&table->grace) != 0) {
        rcu_destroy(table);
        return NULL;
    }
    for (uint64_t i = 0; i < entries; i++)
        push(table, &table->free, &table->entries[i]);
    return table;
}

static struct rcu_bucket *bucket_of(const struct rcu_table *table, uint64_t key)
{
    return &table->bucket[rival_hash(key) & (table->buckets - 1)];
}

static struct rcu_entry *follow(const struct rcu_table *table, const _Atomic(uint32_t) *link)
{
    uint32_t number = atomic_load_explicit(link, memory_order_acquire); /* pairs with link_to() */
    return number == RCU_NONE ? NULL : &table->entries[number - 1];
}

static void link_to(const struct rcu_table *table, _Atomic(uint32_t) *link, const struct rcu_entry *entry)
{
    uint32_t number = entry ? (uint32_t)(entry - table->entries) + 1 : RCU_NONE;
    atomic_store_explicit(link, number, memory_order_release); /* pairs with follow() */
}

/* Returns the link that leads to the key's entry, or the last one. Context: with the bucket's lock. */
static _Atomic(uint32_t) *find(const struct rcu_table *table, struct rcu_bucket *bucket, uint64_t key)
{
    _Atomic(uint32_t) *link = &bucket->first;
    for (struct rcu_entry *entry; (entry = follow(table, link)) && entry->key != key;)
        link = &entry->next;
    return link;
}

/* ----------------------------------------------------------------------------------------------- lookups -- */

static int rcu_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct rcu_table *table = design;
    struct bid_pin pin = rival_enter(&table->grace);
    struct rcu_entry *entry = follow(table, &bucket_of(table, key)->first);
    uint32_t records = entry != NULL;
    while (entry && entry->key != key) {
        entry = follow(table, &entry->next);
        records += entry != NULL;
    }
    if (cost)
        *cost = (struct bid_probe_cost){.slots = 1, .records = records};
    int status = entry ? rival_answer(entry->generation, entry->length, entry->bytes, id) : BID_ABSENT;
    rival_leave(&table->grace, pin);
    return status;
}

static int rcu_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&storm_rcu, design, key, generation, id);
}

static uint64_t rcu_count(const void *design)
{
    return atomic_load(&((const struct rcu_table *)design)->count);
}

/* ----------------------------------------------------------------------------------------------- updates -- */

enum change { INSERT, REPLACE, REMOVE };

/* BID_E_RETIRED: all spare entries wait for readers. */
static int make(struct rcu_table *table, struct rcu_entry **made, uint64_t key, const struct bid_build_id *id)
{
    struct rcu_entry *entry = pop(table, &table->free);
    if (!entry) {
        collect(table);
        entry = pop(table, &table->free);
    }
    if (!entry)
        return BID_E_RETIRED;
    entry->key = key;
    entry->generation = id->generation;
    entry->length = id->length;
    memcpy(entry->bytes, id->bytes, BID_ID_MAX);
    *made = entry;
    return BID_OK;
}

static int may_insert(struct rcu_table *table)
{
    if (atomic_fetch_add(&table->count, 1) < table->limit)
        return 1;
    atomic_fetch_sub(&table->count, 1);
    return 0;
}

/* At the place of a key in its chain. *old: what was taken out, or NULL. Context: with the bucket's lock, as the BPF
 * hash map takes an entry from its list and fills it. */
static int apply(struct rcu_table *table, _Atomic(uint32_t) *link, uint64_t key, enum change change,
                 const struct bid_build_id *id, struct rcu_entry **old)
{
    struct rcu_entry *entry = NULL, *present = follow(table, link);
    *old = NULL;
    if (!present != (change == INSERT))
        return present ? BID_EXISTS : BID_ABSENT;
    if (change == INSERT && !may_insert(table))
        return BID_E_MAX_ENTRIES;
    int status = change == REMOVE ? BID_OK : make(table, &entry, key, id);
    if (change == REMOVE || (change == INSERT && status != BID_OK))
        atomic_fetch_sub(&table->count, 1);
    if (status != BID_OK)
        return status;
    struct rcu_entry *rest = present ? follow(table, &present->next) : NULL;
    if (entry)
        link_to(table, &entry->next, rest);
    link_to(table, link, entry ? entry : rest);
    *old = present;
    return BID_OK;
}

static int update(struct rcu_table *table, uint64_t key, enum change change, const struct bid_build_id *id)
{
    struct rcu_bucket *bucket = bucket_of(table, key);
    struct rcu_entry *old;
    rival_lock(&bucket->lock);
    int status = apply(table, find(table, bucket, key), key, change, id, &old);
    rival_unlock(&bucket->lock);
    if (old)
        retire(table, old);
    return status;
}

static int put(void *design, uint64_t key, uint32_t generation, const void *bytes, size_t length, enum change change)
{
    struct bid_build_id id = {.generation = generation, .length = (uint8_t)length};
    int status = rival_accepts(bytes, length, BID_ID_MAX);
    if (status != BID_OK)
        return status;
    if (length)
        memcpy(id.bytes, bytes, length);
    return update(design, key, change, &id);
}

static int rcu_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return put(design, key, generation, id, length, INSERT);
}

static int rcu_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return put(design, key, generation, id, length, REPLACE);
}

static int rcu_remove(void *design, uint64_t key)
{
    return update(design, key, REMOVE, NULL);
}

/* Its updates take a lock, so there are no forms for NMI context: a handler that updates calls the same. */
const struct bid_design storm_rcu = {
    .name = "rcu",
    .summary = "fixed buckets with lock-free readers, a lock for updaters, and room for so many entries",
    .create = rcu_create,
    .destroy = rcu_destroy,
    .lookup = rcu_lookup,
    .lookup_generation = rcu_lookup_generation,
    .insert = rcu_insert,
    .replace = rcu_replace,
    .remove = rcu_remove,
    .insert_nmi = rcu_insert,
    .remove_nmi = rcu_remove,
    .count = rcu_count,
};
