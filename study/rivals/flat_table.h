/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the two designs that grow under one lock have in common, on top of flat.h. Before it includes this, a design
 * defines struct flat_table with `array` and `resizes`, and how its updaters keep others out:
 *
 *   update_begin(), update_end()  around an update: one updater at a time
 *   write_begin(), write_end()    inside of an update, around stores into the array that readers must not see half done
 *   exchange_array()              puts another array in the place of the present one, and frees that
 */
#ifndef RIVAL_FLAT_TABLE_H
#define RIVAL_FLAT_TABLE_H

static struct flat_array *array_of(struct flat_table *table)
{
    return atomic_load_explicit(&table->array, memory_order_relaxed); /* no other updater changes it meanwhile */
}

static int flat_grow(struct flat_table *table)
{
    struct flat_array *larger = flat_grown(array_of(table));
    if (!larger)
        return BID_E_NO_MEMORY;
    exchange_array(table, larger);
    atomic_fetch_add_explicit(&table->resizes, 1, memory_order_relaxed);
    return BID_OK;
}

static void flat_write(struct flat_table *table, struct flat_slot *slot, uint64_t key, uint32_t generation,
                       const void *id, size_t length)
{
    write_begin(table);
    flat_fill(slot, key, generation, id, length);
    write_end(table);
}

static int flat_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct flat_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    update_begin(table);
    if (flat_load(&flat_find(array_of(table), key, &probes)->head))
        status = BID_EXISTS;
    else if (flat_is_full(array_of(table)))
        status = flat_grow(table);
    if (status == BID_OK) {
        flat_write(table, flat_find(array_of(table), key, &probes), key, generation, id, length);
        array_of(table)->count++;
    }
    update_end(table);
    return status;
}

static int flat_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct flat_table *table = design;
    uint32_t probes;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    update_begin(table);
    struct flat_slot *slot = flat_find(array_of(table), key, &probes);
    if (flat_load(&slot->head))
        flat_write(table, slot, key, generation, id, length);
    else
        status = BID_ABSENT;
    update_end(table);
    return status;
}

static int flat_remove(void *design, uint64_t key)
{
    struct flat_table *table = design;
    uint32_t probes;
    int status = BID_ABSENT;
    update_begin(table);
    struct flat_slot *slot = flat_find(array_of(table), key, &probes);
    if (flat_load(&slot->head)) {
        write_begin(table);
        flat_empty(array_of(table), slot);
        write_end(table);
        status = BID_OK;
    }
    update_end(table);
    return status;
}

static uint64_t flat_count(const void *design)
{
    struct flat_table *table = (struct flat_table *)design;
    update_begin(table);
    uint64_t count = array_of(table)->count;
    update_end(table);
    return count;
}

static size_t flat_table_keys(void *design, uint64_t *keys, size_t capacity)
{
    struct flat_table *table = design;
    update_begin(table);
    size_t seen = flat_keys(array_of(table), keys, capacity);
    update_end(table);
    return seen;
}

static uint64_t flat_resizes(const void *design)
{
    return atomic_load_explicit(&((const struct flat_table *)design)->resizes, memory_order_relaxed);
}

#endif
