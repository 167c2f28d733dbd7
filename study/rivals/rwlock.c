/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A growing table under one global read-write lock: the cache that replaced dl_iterate_phdr() in a profiler, and
 * deadlocked it in 2024 (dd-trace-dotnet 5812). A lookup that interrupts the writer waits for it for ever; one that
 * comes in on another processor waits for as long as the writer copies the table to grow it.
 *
 * The lock spins, as the kernel's rwlock_t does. That of glibc (pthread_rwlock_t) would notice that the writer is the
 * same thread and return EDEADLK, though not in every state of the lock; it is not meant for signal handlers.
 *
 * Progress: blocking, lookups included.
 */
#include "flat.h"
#include "lock.h"
#include "loops.h"

struct rwlock_table {
    rival_rwlock lock;
    _Atomic(uint64_t) resizes;
    struct flat_array *array;
};

static void *rwlock_create(uint64_t expected_entries, uint64_t seed)
{
    struct rwlock_table *table = calloc(1, sizeof *table);
    (void)seed;
    if (table && !(table->array = flat_create(flat_slots_for(expected_entries)))) {
        free(table);
        return NULL;
    }
    return table;
}

static void rwlock_destroy(void *design)
{
    struct rwlock_table *table = design;
    if (table)
        free(table->array);
    free(table);
}

static inline int rwlock_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct rwlock_table *table = design;
    rival_read_lock(&table->lock);
    int status = flat_search(table->array, key, id, cost);
    rival_read_unlock(&table->lock);
    return status;
}

static int rwlock_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_rwlock, design, key, generation, id);
}

static int grow(struct rwlock_table *table)
{
    struct flat_array *larger = flat_grown(table->array);
    if (!larger)
        return BID_E_NO_MEMORY;
    free(table->array);
    table->array = larger;
    atomic_fetch_add_explicit(&table->resizes, 1, memory_order_relaxed);
    return BID_OK;
}

static int rwlock_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct rwlock_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    rival_write_lock(&table->lock);
    if (flat_load(&flat_find(table->array, key, &probes)->head))
        status = BID_EXISTS;
    else if (flat_is_full(table->array))
        status = grow(table);
    if (status == BID_OK) {
        flat_fill(flat_find(table->array, key, &probes), key, generation, id, length);
        table->array->count++;
    }
    rival_write_unlock(&table->lock);
    return status;
}

static int rwlock_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct rwlock_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    rival_write_lock(&table->lock);
    struct flat_slot *slot = flat_find(table->array, key, &probes);
    if (flat_load(&slot->head))
        flat_fill(slot, key, generation, id, length);
    else
        status = BID_ABSENT;
    rival_write_unlock(&table->lock);
    return status;
}

static int rwlock_remove(void *design, uint64_t key)
{
    struct rwlock_table *table = design;
    uint32_t probes;
    int status = BID_ABSENT;
    rival_write_lock(&table->lock);
    struct flat_slot *slot = flat_find(table->array, key, &probes);
    if (flat_load(&slot->head)) {
        flat_empty(table->array, slot);
        status = BID_OK;
    }
    rival_write_unlock(&table->lock);
    return status;
}

static uint64_t rwlock_count(const void *design)
{
    struct rwlock_table *table = (struct rwlock_table *)design;
    rival_read_lock(&table->lock);
    uint64_t count = table->array->count;
    rival_read_unlock(&table->lock);
    return count;
}

static size_t rwlock_keys(void *design, uint64_t *keys, size_t capacity)
{
    struct rwlock_table *table = design;
    rival_read_lock(&table->lock);
    size_t seen = flat_keys(table->array, keys, capacity);
    rival_read_unlock(&table->lock);
    return seen;
}

static uint64_t rwlock_resizes(const void *design)
{
    return atomic_load_explicit(&((const struct rwlock_table *)design)->resizes, memory_order_relaxed);
}

RIVAL_LOOPS(rwlock)

const struct bid_design bid_design_rwlock = {
    .name = "rwlock",
    .summary = "a growing table under one global read-write lock",
    .create = rwlock_create,
    .destroy = rwlock_destroy,
    .lookup = rwlock_lookup,
    .lookup_generation = rwlock_lookup_generation,
    .insert = rwlock_insert,
    .replace = rwlock_replace,
    .remove = rwlock_remove,
    .count = rwlock_count,
    .resizes = rwlock_resizes,
    .keys = rwlock_keys,
    .hits = rwlock_hits,
    .chain = rwlock_chain,
    .traits = RIVAL_GROWS,
};
