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

struct flat_table {
    atomic_uint sequence;
    _Atomic(struct flat_array *) array;
    struct rival_grace grace;
    atomic_flag lock; /* of updaters */
    _Atomic(uint64_t) resizes;
};

static void *seqcount_create(uint64_t expected_entries, uint64_t seed)
{
    struct flat_table *table = calloc(1, sizeof *table);
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
    struct flat_table *table = design;
    if (!table)
        return;
    rival_grace_end(&table->grace);
    free(table->array);
    free(table);
}

/* ----------------------------------------------------------------------------------------------- reading -- */

static inline unsigned read_begin(const struct flat_table *table)
{
    unsigned sequence;
    while ((sequence = atomic_load_explicit(&table->sequence, memory_order_acquire)) & 1)
        ;
    return sequence;
}

static inline int read_again(const struct flat_table *table, unsigned sequence)
{
    atomic_thread_fence(memory_order_acquire); /* what was read comes before the counter */
    return atomic_load_explicit(&table->sequence, memory_order_relaxed) != sequence;
}

static inline int seqcount_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct flat_table *table = design;
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

static void update_begin(struct flat_table *table)
{
    rival_lock(&table->lock);
}

static void update_end(struct flat_table *table)
{
    rival_unlock(&table->lock);
}

static void write_begin(struct flat_table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* the odd counter comes before what is written */
}

static void write_end(struct flat_table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_release);
}

static void exchange_array(struct flat_table *table, struct flat_array *larger)
{
    struct flat_array *smaller = atomic_load_explicit(&table->array, memory_order_relaxed); /* the lock is held */
    write_begin(table);
    atomic_store_explicit(&table->array, larger, memory_order_release);
    write_end(table);
    rival_retire(&table->grace, smaller);
    rival_grace_collect(&table->grace);
}

#include "flat_table.h"

static void seqcount_settle(void *design)
{
    rival_grace_collect(&((struct flat_table *)design)->grace);
}

RIVAL_LOOPS(seqcount)

const struct bid_design bid_design_seqcount = {
    .name = "seqcount",
    .summary = "a growing table under a sequence counter: readers try again while an updater is inside",
    .create = seqcount_create,
    .destroy = seqcount_destroy,
    .lookup = seqcount_lookup,
    .lookup_generation = seqcount_lookup_generation,
    .insert = flat_insert,
    .replace = flat_replace,
    .remove = flat_remove,
    .count = flat_count,
    .resizes = flat_resizes,
    .keys = flat_table_keys,
    .hits = seqcount_hits,
    .chain = seqcount_chain,
    .settle = seqcount_settle,
    .traits = RIVAL_GROWS,
};
