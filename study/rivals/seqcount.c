/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A growing table under a sequence counter: an updater makes it odd, writes, and makes it even again; a reader reads,
 * and starts again if the counter was odd or has changed. Readers write nothing and cost next to nothing, but a lookup
 * that interrupts an updater between the two tries again for ever.
 *
 * Growing is kind to readers: the larger array is filled outside of the odd section, in which only the pointer moves.
 * The smaller one is freed after a grace period (grace.h).
 *
 * Progress: lookups finish only when updaters do; updates are blocking.
 */
#include "flat.h"
#include "grace.h"
#include "lock.h"
#include "loops.h"

struct seqcount_table {
    atomic_uint sequence;
    _Atomic(struct flat_array *) array;
    struct rival_grace grace;
    atomic_flag lock; /* of updaters */
    _Atomic(uint64_t) resizes;
};

static void *seqcount_create(uint64_t expected_entries, uint64_t seed)
{
    struct seqcount_table *table = calloc(1, sizeof *table);
    (void)seed;
    if (table && (table->array = flat_create(flat_slots_for(expected_entries))) && rival_grace_init(&table->grace) == 0)
        return table;
    if (table)
        free(table->array);
    free(table);
    return NULL;
}

static void seqcount_destroy(void *design)
{
    struct seqcount_table *table = design;
    if (!table)
        return;
    rival_grace_end(&table->grace);
    free(table->array);
    free(table);
}

/* ----------------------------------------------------------------------------------------------- reading -- */

static inline unsigned read_begin(const struct seqcount_table *table)
{
    unsigned sequence;
    while ((sequence = atomic_load_explicit(&table->sequence, memory_order_acquire)) & 1)
        ;
    return sequence;
}

static inline int read_again(const struct seqcount_table *table, unsigned sequence)
{
    atomic_thread_fence(memory_order_acquire); /* what was read comes before the counter */
    return atomic_load_explicit(&table->sequence, memory_order_relaxed) != sequence;
}

static inline int seqcount_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct seqcount_table *table = design;
    struct bid_pin pin = rival_enter(&table->grace);
    unsigned sequence;
    int status;
    do {
        sequence = read_begin(table);
        status = flat_search(atomic_load_explicit(&table->array, memory_order_acquire), key, id, cost);
    } while (read_again(table, sequence));
    rival_leave(&table->grace, pin);
    return status;
}

static int seqcount_lookup_generation(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_seqcount, design, key, generation, id);
}

/* ----------------------------------------------------------------------------------------------- writing -- */

static struct flat_array *array_of(struct seqcount_table *table)
{
    return atomic_load_explicit(&table->array, memory_order_relaxed); /* the lock is held */
}

static void write_begin(struct seqcount_table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* the odd counter comes before what is written */
}

static void write_end(struct seqcount_table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_release);
}

static int grow(struct seqcount_table *table)
{
    struct flat_array *smaller = array_of(table), *larger = flat_grown(smaller);
    if (!larger)
        return BID_E_NO_MEMORY;
    write_begin(table);
    atomic_store_explicit(&table->array, larger, memory_order_release);
    write_end(table);
    rival_retire(&table->grace, smaller);
    rival_grace_collect(&table->grace);
    atomic_fetch_add_explicit(&table->resizes, 1, memory_order_relaxed);
    return BID_OK;
}

static void fill(struct seqcount_table *table, struct flat_slot *slot, uint64_t key, uint32_t generation,
                 const void *id, size_t length)
{
    write_begin(table);
    flat_fill(slot, key, generation, id, length);
    write_end(table);
}

static int seqcount_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct seqcount_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    rival_lock(&table->lock);
    if (flat_load(&flat_find(array_of(table), key, &probes)->head))
        status = BID_EXISTS;
    else if (flat_is_full(array_of(table)))
        status = grow(table);
    if (status == BID_OK) {
        fill(table, flat_find(array_of(table), key, &probes), key, generation, id, length);
        array_of(table)->count++;
    }
    rival_unlock(&table->lock);
    return status;
}

static int seqcount_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct seqcount_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    rival_lock(&table->lock);
    struct flat_slot *slot = flat_find(array_of(table), key, &probes);
    if (flat_load(&slot->head))
        fill(table, slot, key, generation, id, length);
    else
        status = BID_ABSENT;
    rival_unlock(&table->lock);
    return status;
}

static int seqcount_remove(void *design, uint64_t key)
{
    struct seqcount_table *table = design;
    uint32_t probes;
    int status = BID_ABSENT;
    rival_lock(&table->lock);
    struct flat_slot *slot = flat_find(array_of(table), key, &probes);
    if (flat_load(&slot->head)) {
        write_begin(table);
        flat_empty(array_of(table), slot);
        write_end(table);
        status = BID_OK;
    }
    rival_unlock(&table->lock);
    return status;
}

/* ----------------------------------------------------------------------------------------- the whole table -- */

static uint64_t seqcount_count(const void *design)
{
    struct seqcount_table *table = (struct seqcount_table *)design;
    rival_lock(&table->lock);
    uint64_t count = array_of(table)->count;
    rival_unlock(&table->lock);
    return count;
}

static size_t seqcount_keys(void *design, uint64_t *keys, size_t capacity)
{
    struct seqcount_table *table = design;
    rival_lock(&table->lock);
    size_t seen = flat_keys(array_of(table), keys, capacity);
    rival_unlock(&table->lock);
    return seen;
}

static uint64_t seqcount_resizes(const void *design)
{
    return atomic_load_explicit(&((const struct seqcount_table *)design)->resizes, memory_order_relaxed);
}

static void seqcount_settle(void *design)
{
    rival_grace_collect(&((struct seqcount_table *)design)->grace);
}

RIVAL_LOOPS(seqcount)

const struct bid_design bid_design_seqcount = {
    .name = "seqcount",
    .summary = "a growing table under a sequence counter: readers try again while an updater is inside",
    .create = seqcount_create,
    .destroy = seqcount_destroy,
    .lookup = seqcount_lookup,
    .lookup_generation = seqcount_lookup_generation,
    .insert = seqcount_insert,
    .replace = seqcount_replace,
    .remove = seqcount_remove,
    .count = seqcount_count,
    .resizes = seqcount_resizes,
    .keys = seqcount_keys,
    .hits = seqcount_hits,
    .chain = seqcount_chain,
    .settle = seqcount_settle,
    .traits = RIVAL_GROWS,
};
