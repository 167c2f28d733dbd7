/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A pointer to the build ID in the object itself: in struct file, as the patches of March 2023 had it, or in the inode.
 * Constant time, no lock, nothing to grow; but every object has the field, with or without a build ID: 8 bytes for each
 * open file, or for each inode in the cache. In struct file each opening that is mapped has an ID of its own, too: here
 * as many openings as IDs are made, and `python -m study memory` charges one ID for each ELF file, the least.
 *
 * A stand-in is the one cache line of the object that has the field, on huge pages, for the kernel maps its objects by
 * huge pages: so a lookup misses the cache as it would there, and the TLB as little. What differs between the two
 * designs is how many objects there are: 56,780 open files against 22,514 files in the thread.
 *
 * The field is loaded in a read-side section and the record freed after a grace period (grace.h): more than is needed
 * where the caller's own reference keeps the object alive.
 *
 * Progress: wait-free lookups; updates are lock-free but for grace periods.
 */
#include "grace.h"
#include "loops.h"
#include "objects.h"
#include "record.h"

#include <stdlib.h>

struct pointer_id {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW]; /* zero-padded */
};

struct pointer_object {
    _Alignas(64) _Atomic(struct pointer_id *) id;
    _Atomic(struct pointer_id *) unused[7]; /* of other fields */
};

struct pointer_table {
    struct rival_grace grace;
    struct rival_objects objects;
    _Atomic(uint64_t) count;
};

static void *pointer_create(uint64_t expected_entries, uint64_t seed)
{
    struct pointer_table *table = calloc(1, sizeof *table);
    (void)expected_entries, (void)seed;
    if (table && rival_grace_init(&table->grace) == 0 &&
        rival_objects_init(&table->objects, sizeof(struct pointer_object), 1) == 0)
        return table;
    free(table);
    return NULL;
}

static void pointer_destroy(void *design)
{
    struct pointer_table *table = design;
    if (!table)
        return;
    for (uint64_t i = 0; i < table->objects.count; i++)
        free(((struct pointer_object *)rival_object_at(&table->objects, i))->id);
    rival_grace_end(&table->grace);
    rival_objects_end(&table->objects);
    free(table);
}

static uint64_t pointer_object(void *design, uint64_t key)
{
    return rival_object(&((struct pointer_table *)design)->objects, key);
}

static inline _Atomic(struct pointer_id *) *field(uint64_t object)
{
    return &((struct pointer_object *)(uintptr_t)object)->id;
}

static inline int pointer_lookup(void *design, uint64_t object, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct pointer_table *table = design;
    struct bid_pin pin = rival_enter(&table->grace);
    const struct pointer_id *record = atomic_load_explicit(field(object), memory_order_acquire);
    int status = record ? rival_answer(record->generation, record->length, record->bytes, id) : BID_ABSENT;
    if (cost)
        *cost = (struct bid_probe_cost){.slots = 1, .records = record != NULL};
    rival_leave(&table->grace, pin);
    return status;
}

static int pointer_lookup_generation(void *design, uint64_t object, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_inode, design, object, generation, id);
}

/* BID_OK and a record in *made, or why there is none. */
static int record_make(struct pointer_id **made, uint32_t generation, const void *id, size_t length)
{
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    *made = malloc(sizeof **made);
    if (!*made)
        return BID_E_NO_MEMORY;
    **made = (struct pointer_id){.generation = generation, .length = (uint8_t)length};
    if (length)
        memcpy((*made)->bytes, id, length);
    return BID_OK;
}

static int pointer_insert(void *design, uint64_t object, uint32_t generation, const void *id, size_t length)
{
    struct pointer_table *table = design;
    struct pointer_id *none = NULL, *record;
    int status = record_make(&record, generation, id, length);
    if (status != BID_OK)
        return status;
    if (atomic_compare_exchange_strong_explicit(field(object), &none, record, memory_order_release,
                                                memory_order_relaxed)) {
        atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
        return BID_OK;
    }
    free(record);
    return BID_EXISTS;
}

static int pointer_replace(void *design, uint64_t object, uint32_t generation, const void *id, size_t length)
{
    struct pointer_table *table = design;
    struct pointer_id *record;
    int status = record_make(&record, generation, id, length);
    if (status != BID_OK)
        return status;
    struct pointer_id *old = atomic_load_explicit(field(object), memory_order_relaxed);
    while (old && !atomic_compare_exchange_weak_explicit(field(object), &old, record, memory_order_release,
                                                         memory_order_relaxed))
        ;
    if (!old)
        free(record);
    rival_retire(&table->grace, old);
    return old ? BID_OK : BID_ABSENT;
}

static int pointer_remove(void *design, uint64_t object)
{
    struct pointer_table *table = design;
    struct pointer_id *old = atomic_exchange_explicit(field(object), NULL, memory_order_relaxed);
    if (!old)
        return BID_ABSENT;
    atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    rival_retire(&table->grace, old);
    return BID_OK;
}

static uint64_t pointer_count(const void *design)
{
    return atomic_load_explicit(&((const struct pointer_table *)design)->count, memory_order_relaxed);
}

static size_t pointer_keys(void *design, uint64_t *keys, size_t capacity)
{
    const struct rival_objects *objects = &((struct pointer_table *)design)->objects;
    size_t seen = 0;
    for (uint64_t i = 0; i < objects->count; i++)
        if (*field((uint64_t)(uintptr_t)rival_object_at(objects, i)) && seen++ < capacity)
            keys[seen - 1] = objects->names[i];
    return seen;
}

/* The field in each object that there is. */
static uint64_t pointer_mapped_bytes(const void *design)
{
    return ((const struct pointer_table *)design)->objects.count * sizeof(struct pointer_id *);
}

static void pointer_settle(void *design)
{
    rival_grace_collect(&((struct pointer_table *)design)->grace);
}

RIVAL_LOOPS(pointer)

#define POINTER_DESIGN                                                                                                 \
    .create = pointer_create, .destroy = pointer_destroy, .lookup = pointer_lookup,                                    \
    .lookup_generation = pointer_lookup_generation, .insert = pointer_insert, .replace = pointer_replace,              \
    .remove = pointer_remove, .count = pointer_count, .keys = pointer_keys, .hits = pointer_hits,                      \
    .chain = pointer_chain, .mapped_bytes = pointer_mapped_bytes, .object = pointer_object, .settle = pointer_settle,  \
    .traits = RIVAL_GROWS | RIVAL_POINTER

const struct bid_design bid_design_file = {
    .name = "file",
    .summary = "a pointer in struct file: 8 bytes for every open file",
    POINTER_DESIGN,
};

const struct bid_design bid_design_inode = {
    .name = "inode",
    .summary = "a pointer in the inode: 8 bytes for every inode in the cache",
    POINTER_DESIGN,
};
