/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A growing table with open addressing, linear probing and entries in place: what the two designs that grow under one
 * lock have in common. It doubles when three quarters are full, and never shrinks; a remove moves later entries up, so
 * there are no tombstones. Updaters exclude each other (flat_array says nothing of how); a reader beside one may see
 * entries half written or moved, and has to know that from elsewhere (a lock, a sequence counter). So all words are
 * atomic, without an order of their own, and a search ends after one turn through the array.
 */
#ifndef RIVAL_FLAT_H
#define RIVAL_FLAT_H

#include "record.h"

#include <stdatomic.h>
#include <stdlib.h>

#define FLAT_SLOTS_MIN 64
#define FLAT_PRESENT 1u
#define FLAT_LENGTH_SHIFT 8
#define FLAT_GENERATION_SHIFT 32
#define FLAT_ID_WORDS 3

struct flat_slot {
    _Atomic(uint64_t) key;
    _Atomic(uint64_t) head; /* generation | ID length | FLAT_PRESENT; 0: empty */
    _Atomic(uint64_t) id[FLAT_ID_WORDS];
};

struct flat_array {
    uint64_t mask; /* the number of slots - 1 */
    uint64_t count;
    struct flat_slot slot[];
};

static inline uint64_t flat_load(const _Atomic(uint64_t) *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void flat_store(_Atomic(uint64_t) *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline struct flat_array *flat_create(uint64_t slots)
{
    struct flat_array *array = calloc(1, sizeof *array + slots * sizeof array->slot[0]);
    if (array)
        array->mask = slots - 1;
    return array;
}

/* The slots that hold so many entries without growing. */
static inline uint64_t flat_slots_for(uint64_t entries)
{
    uint64_t slots = FLAT_SLOTS_MIN;
    while (slots - slots / 4 < entries && slots < 1ull << 40)
        slots *= 2;
    return slots;
}

/* The slot of a key, or the empty one where it would go. *probes: how many were looked at. */
static inline struct flat_slot *flat_find(struct flat_array *array, uint64_t key, uint32_t *probes)
{
    uint64_t place = rival_hash(key);
    struct flat_slot *slot;
    *probes = 0;
    do {
        slot = &array->slot[place++ & array->mask];
        ++*probes;
    } while (flat_load(&slot->head) && flat_load(&slot->key) != key && *probes <= array->mask);
    return slot;
}

static inline int flat_search(struct flat_array *array, uint64_t key, struct bid_build_id *id,
                              struct bid_probe_cost *cost)
{
    uint32_t probes;
    const struct flat_slot *slot = flat_find(array, key, &probes);
    uint64_t head = flat_load(&slot->head), words[FLAT_ID_WORDS];
    if (cost)
        *cost = (struct bid_probe_cost){.slots = probes, .records = head != 0};
    if (!head)
        return BID_ABSENT;
    for (unsigned i = 0; i < FLAT_ID_WORDS; i++)
        words[i] = flat_load(&slot->id[i]);
    id->generation = (uint32_t)(head >> FLAT_GENERATION_SHIFT);
    id->length = (uint8_t)(head >> FLAT_LENGTH_SHIFT);
    memcpy(id->bytes, words, sizeof words);
    return id->length ? BID_OK : BID_NO_BUILD_ID;
}

static inline void flat_fill(struct flat_slot *slot, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    uint64_t words[FLAT_ID_WORDS] = {0};
    if (length)
        memcpy(words, id, length);
    flat_store(&slot->key, key);
    for (unsigned i = 0; i < FLAT_ID_WORDS; i++)
        flat_store(&slot->id[i], words[i]);
    flat_store(&slot->head,
               (uint64_t)generation << FLAT_GENERATION_SHIFT | (uint64_t)length << FLAT_LENGTH_SHIFT | FLAT_PRESENT);
}

static inline void flat_move(struct flat_slot *to, struct flat_slot *from)
{
    flat_store(&to->key, flat_load(&from->key));
    for (unsigned i = 0; i < FLAT_ID_WORDS; i++)
        flat_store(&to->id[i], flat_load(&from->id[i]));
    flat_store(&to->head, flat_load(&from->head));
}

static inline int flat_is_full(const struct flat_array *array)
{
    return array->count + 1 > array->mask + 1 - (array->mask + 1) / 4;
}

/* A copy with twice the slots. NULL: no memory. */
static inline struct flat_array *flat_grown(struct flat_array *array)
{
    struct flat_array *larger = flat_create(2 * (array->mask + 1));
    uint32_t probes;
    for (uint64_t i = 0; larger && i <= array->mask; i++)
        if (flat_load(&array->slot[i].head))
            flat_move(flat_find(larger, flat_load(&array->slot[i].key), &probes), &array->slot[i]);
    if (larger)
        larger->count = array->count;
    return larger;
}

/* Empties a slot: each later entry of the run that may not stay behind a gap moves up into it. */
static inline void flat_empty(struct flat_array *array, struct flat_slot *slot)
{
    uint64_t gap = (uint64_t)(slot - array->slot), place = gap;
    for (;;) {
        place = (place + 1) & array->mask;
        if (!flat_load(&array->slot[place].head))
            break;
        uint64_t home = rival_hash(flat_load(&array->slot[place].key)) & array->mask;
        if (((place - home) & array->mask) >= ((place - gap) & array->mask)) {
            flat_move(&array->slot[gap], &array->slot[place]);
            gap = place;
        }
    }
    flat_store(&array->slot[gap].head, 0);
    array->count--;
}

static inline size_t flat_keys(const struct flat_array *array, uint64_t *keys, size_t capacity)
{
    size_t seen = 0;
    for (uint64_t i = 0; i <= array->mask; i++)
        if (flat_load(&array->slot[i].head) && seen++ < capacity)
            keys[seen - 1] = flat_load(&array->slot[i].key);
    return seen;
}

#endif
