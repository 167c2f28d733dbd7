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

struct flat_table {
    rival_rwlock lock;
    _Atomic(uint64_t) resizes;
    _Atomic(struct flat_array *) array;
};

static void *rwlock_create(uint64_t expected_entries, uint64_t seed)
{
    struct flat_table *table = calloc(1, sizeof *table);
    (void)seed;
    if (table && (table->array = flat_create(flat_slots_for(expected_entries))))
        return table;
    free(table);
    return NULL;
}

static void rwlock_destroy(void *design)
{
    struct flat_table *table = design;
    if (table)
        free(table->array);
    free(table);
}

static inline int rwlock_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct flat_table *table = design;
    rival_read_lock(&table->lock);
    int status = flat_search(atomic_load_explicit(&table->array, memory_order_relaxed), key, id, cost);
    rival_read_unlock(&table->lock);
    return status;
}

static int rwlock_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_rwlock, design, key, generation, id);
}

static void update_begin(struct flat_table *table)
{
    rival_write_lock(&table->lock);
}

static void update_end(struct flat_table *table)
{
    rival_write_unlock(&table->lock);
}

/* The lock keeps readers out for the whole update. */
static void write_begin(struct flat_table *table)
{
    (void)table;
}

static void write_end(struct flat_table *table)
{
    (void)table;
}

static void exchange_array(struct flat_table *table, struct flat_array *larger)
{
    free(table->array);
    table->array = larger;
}

#include "flat_table.h"

RIVAL_LOOPS(rwlock)

const struct bid_design bid_design_rwlock = {
    .name = "rwlock",
    .summary = "a growing table under one global read-write lock",
    .create = rwlock_create,
    .destroy = rwlock_destroy,
    .lookup = rwlock_lookup,
    .lookup_generation = rwlock_lookup_generation,
    .insert = flat_insert,
    .replace = flat_replace,
    .remove = flat_remove,
    .count = flat_count,
    .resizes = flat_resizes,
    .keys = flat_table_keys,
    .hits = rwlock_hits,
    .chain = rwlock_chain,
    .traits = RIVAL_GROWS,
};
