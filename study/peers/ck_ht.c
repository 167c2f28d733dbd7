/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Concurrency Kit's ck_ht as a design: direct mode (keys and values in the slots), one updater at a time, readers that
 * start again while slots move. A value is a pointer to the ID. The keys 0 and 2^64 - 1 are its own.
 */
#if __has_include(<ck_ht.h>)

#include <ck_ht.h>

#include "deferred.h"
#include "loops.h"
#include "peer.h"
#include "record.h"

#include <stdatomic.h>

struct value {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW];
};

struct ht_table {
    ck_ht_t ht;
    struct deferred deferred;
};

static struct deferred *growing; /* where the map goes that ck_ht grows out of: its allocator has no argument */

static void *ht_malloc(size_t bytes)
{
    return malloc(bytes);
}

static void ht_free(void *memory, size_t bytes, bool defer)
{
    (void)bytes;
    if (defer && growing)
        deferred_add(growing, memory);
    else
        free(memory);
}

static struct ck_malloc ht_allocator = {.malloc = ht_malloc, .free = ht_free};

static void ht_hash(ck_ht_hash_t *hash, const void *key, size_t length, uint64_t seed)
{
    (void)length, (void)seed;
    hash->value = rival_hash(*(const uintptr_t *)key);
}

static void *ht_create(uint64_t expected_entries, uint64_t seed)
{
    struct ht_table *table = calloc(1, sizeof *table);
    (void)expected_entries;
    if (table && ck_ht_init(&table->ht, CK_HT_MODE_DIRECT | CK_HT_WORKLOAD_DELETE, ht_hash, &ht_allocator, 64, seed))
        return table;
    free(table);
    return NULL;
}

static inline int ht_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct ht_table *table = design;
    ck_ht_hash_t hash;
    ck_ht_entry_t entry;
    ck_ht_hash_direct(&hash, &table->ht, key);
    ck_ht_entry_key_set_direct(&entry, key);
    if (cost)
        *cost = (struct bid_probe_cost){0, 0};
    if (!ck_ht_get_spmc(&table->ht, hash, &entry))
        return BID_ABSENT;
    const struct value *value = (const struct value *)ck_ht_entry_value_direct(&entry);
    return rival_answer(value->generation, value->length, value->bytes, id);
}

static int ht_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct ht_table *table = design;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    struct value *value = status == BID_OK ? malloc(sizeof *value) : NULL;
    ck_ht_hash_t hash;
    ck_ht_entry_t entry;
    if (!value)
        return status == BID_OK ? BID_E_NO_MEMORY : status;
    *value = (struct value){.generation = generation, .length = (uint8_t)length};
    if (length)
        memcpy(value->bytes, id, length);
    atomic_thread_fence(memory_order_release);
    ck_ht_hash_direct(&hash, &table->ht, key);
    ck_ht_entry_set_direct(&entry, hash, key, (uintptr_t)value);
    growing = &table->deferred;
    bool put = ck_ht_put_spmc(&table->ht, hash, &entry);
    growing = NULL;
    if (!put)
        free(value);
    return put ? BID_OK : BID_EXISTS;
}

static int ht_remove(void *design, uint64_t key)
{
    struct ht_table *table = design;
    ck_ht_hash_t hash;
    ck_ht_entry_t entry;
    ck_ht_hash_direct(&hash, &table->ht, key);
    ck_ht_entry_key_set_direct(&entry, key);
    if (!ck_ht_remove_spmc(&table->ht, hash, &entry))
        return BID_ABSENT;
    deferred_add(&table->deferred, (void *)ck_ht_entry_value_direct(&entry));
    return BID_OK;
}

static void ht_settle(void *design)
{
    deferred_free(&((struct ht_table *)design)->deferred);
}

static void ht_destroy(void *design)
{
    struct ht_table *table = design;
    ck_ht_iterator_t iterator = CK_HT_ITERATOR_INITIALIZER;
    ck_ht_entry_t *entry;
    while (ck_ht_next(&table->ht, &iterator, &entry))
        free((void *)ck_ht_entry_value_direct(entry));
    ck_ht_destroy(&table->ht);
    ht_settle(design);
    free(table);
}

RIVAL_LOOPS(ht)

const struct bid_design bid_design_peer = {
    .name = "ck_ht",
    .summary = "Concurrency Kit's hash table with keys in place, for one updater",
    .create = ht_create,
    .destroy = ht_destroy,
    .lookup = ht_lookup,
    .insert = ht_insert,
    .remove = ht_remove,
    .hits = ht_hits,
    .chain = ht_chain,
    .settle = ht_settle,
    .traits = RIVAL_GROWS,
};

#else
typedef int needs_libck; /* ISO C wants something here */
#endif
