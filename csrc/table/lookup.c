/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups: an object file of its own, which calls nothing outside and includes nothing of the update side.
 *
 * Progress: wait-free. At most two paths (guarantee G1), whatever the writers do: there is no loop but those over the
 * buckets of a path, the matching tags of a bucket, the words of an ID, and the slots of the pin table's window.
 *
 * Why two paths are enough. Let A be the head array that the lookup reads first.
 *   - The word that ends A's path is not FROZEN: then A alone decides at the moment it was read.
 *   - It is FROZEN: the future array F of A is visible (P, F). A slot of the key in F decides, frozen or not: F can
 *     freeze only after the head has moved to F, which this lookup's read of the head precedes, so a frozen word of F
 *     was the key's current state at some moment of this lookup.
 *   - No slot of the key in F: nobody has copied or updated the key since A's word froze; A's word is the answer.
 * csrc/README.md has the argument in full, with every edge.
 */
#include "pin.h"
#include "probe.h"

/* ------------------------------------------------------------------------------------------------ pins -- */

/* The slot that this thread owns for life, claimed now if it has none; NULL if its window is full. A handler that comes
 * between the look at a slot and its claim may claim it first: for the same thread, so the claim is looked at again. */
static struct bid_pin_slot *bid_pin_own(struct bid_pins *pins, uintptr_t thread)
{
    uint64_t first = bid_pin_slot_number(thread);
    for (unsigned i = 0; i < BID_PIN_WINDOW; i++) {
        struct bid_pin_slot *slot = &pins->area->slots[(first + i) & (BID_PIN_SLOTS - 1)];
        uintptr_t owner = bid_load(&slot->owner, BID_RELAXED);
        if (!owner && bid_cas(&slot->owner, &owner, thread, BID_RELAXED))
            return slot;
        if (owner == thread)
            return slot;
    }
    return NULL;
}

static struct bid_pin_slot *bid_pin_temporary(struct bid_pins *pins, uintptr_t thread)
{
    uint64_t first = bid_pin_slot_number(thread);
    for (unsigned i = 0; i < BID_PIN_TEMPORARY; i++) {
        struct bid_pin_slot *slot = &pins->area->slots[BID_PIN_SLOTS + (first + i) % BID_PIN_TEMPORARY];
        uintptr_t owner = 0;
        if (bid_cas(&slot->owner, &owner, thread, BID_U_ACQUIRE)) /* pairs with the release in bid_unpin_slow() */
            return slot;
    }
    return NULL;
}

__attribute__((noinline)) struct bid_pin bid_pin_slow(struct bid_pins *pins, uintptr_t thread)
{
    struct bid_pin pin = {bid_pin_own(pins, thread)};
    int own = pin.slot != NULL;
    if (!own)
        pin.slot = bid_pin_temporary(pins, thread);
    if (pin.slot)
        bid_pin_enter(pins, pin.slot);
    else
        bid_add(&pins->area->crowd, 1, BID_U_RELEASE);
    if (own && !pins->fenced)
        bid_platform_compiler_barrier();
    else
        atomic_thread_fence(BID_S_FENCE); /* (S) pairs with bid_platform_barrier() in reclaim.c */
    return pin;
}

__attribute__((noinline)) void bid_unpin_slow(struct bid_pins *pins, struct bid_pin pin)
{
    if (!pin.slot) {
        bid_sub(&pins->area->crowd, 1, BID_U_RELEASE);
        return;
    }
    bid_store(&pin.slot->word, 0, BID_U_RELEASE);
    bid_store(&pin.slot->owner, 0, BID_U_RELEASE);
}

/* ---------------------------------------------------------------------------------------------- lookups -- */

/* The key's state, from at most two paths. The caller holds a pin. */
static inline struct bid_probe bid_find(const struct bid_table *table, uint64_t key, struct bid_probe_cost *cost)
{
    const struct bid_array *head = bid_load(&table->head, BID_H_ACQUIRE); /* (H) pairs with bid_resize_finish() */
    struct bid_probe found = bid_probe_path(head, key, cost);
    if (__builtin_expect(found.frozen, 0)) {
        const struct bid_array *future = bid_load(&head->future, BID_F_ACQUIRE); /* (F) pairs with bid_resize_begin() */
        struct bid_probe newer = bid_probe_path(future, key, cost);
        if (newer.record)
            return newer;
    }
    return found;
}

static inline int bid_found_live(const struct bid_probe *found)
{
    return found->record && bid_word_is_live(found->word);
}

/* Copies whole 32-bit words: 20 bytes at once for a narrow record, which is zero-padded, else as many as needed. */
static inline void bid_copy_id(uint8_t *to, const struct bid_record *record, unsigned length)
{
    const uint8_t *from = (const uint8_t *)record + BID_RECORD_ID; /* a long ID runs on into the next units */
    __builtin_memcpy(to, from, BID_ID_NARROW);
    if (__builtin_expect(length > BID_ID_NARROW, 0))
        for (unsigned i = BID_ID_NARROW; i < length && i < BID_ID_MAX; i += 4)
            __builtin_memcpy(to + i, from + i, 4);
}

static inline int bid_answer(const struct bid_probe *found, struct bid_build_id *id)
{
    unsigned length = bid_word_length(found->word);
    id->generation = found->record->generation;
    id->length = (uint8_t)length;
    if (!length)
        return BID_NO_BUILD_ID;
    bid_copy_id(id->bytes, found->record, length);
    return BID_OK;
}

int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id)
{
    struct bid_pin pin = bid_pin(table->pins);
    struct bid_probe found = bid_find(table, key, NULL);
    int status = bid_found_live(&found) ? bid_answer(&found, id) : BID_ABSENT;
    bid_unpin(table->pins, pin);
    return status;
}

int bid_lookup_generation(const struct bid_table *table, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    struct bid_pin pin = bid_pin(table->pins);
    struct bid_probe found = bid_find(table, key, NULL);
    int status = BID_ABSENT;
    if (bid_found_live(&found))
        status = found.record->generation == generation ? bid_answer(&found, id) : BID_STALE;
    bid_unpin(table->pins, pin);
    return status;
}

int bid_lookup_cost(const struct bid_table *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct bid_pin pin = bid_pin(table->pins);
    cost->slots = cost->records = 0;
    struct bid_probe found = bid_find(table, key, cost);
    int status = bid_found_live(&found) ? bid_answer(&found, id) : BID_ABSENT;
    bid_unpin(table->pins, pin);
    return status;
}

/* One row of bid_lookup_many(): always written whole. */
static inline uint8_t bid_row(const struct bid_probe *found, uint8_t *row, size_t id_size)
{
    unsigned length = bid_found_live(found) ? bid_word_length(found->word) : 0;
    if (__builtin_expect(id_size == BID_ID_NARROW && length && length <= BID_ID_NARROW, 1)) {
        __builtin_memcpy(row, found->record->id, BID_ID_NARROW);
        return (uint8_t)length;
    }
    const uint8_t *from = (const uint8_t *)found->record + BID_RECORD_ID;
    for (size_t i = 0; i < id_size; i++)
        row[i] = i < length ? from[i] : 0;
    return (uint8_t)(bid_found_live(found) && !length ? BID_LENGTH_NO_BUILD_ID : length);
}

#define BID_BATCH 16 /* keys whose buckets are fetched at once; also how long one pin is held */

/* The buckets' misses overlap; a resize meanwhile makes the prefetches useless and nothing else. */
static inline void bid_prefetch_homes(const struct bid_table *table, const uint64_t *keys, size_t n)
{
    const struct bid_array *head = bid_load(&table->head, BID_H_ACQUIRE); /* (H) pairs with bid_resize_finish() */
    for (size_t i = 0; i < n; i++) {
        struct bid_path path = bid_path(head, keys[i]);
        bid_platform_prefetch(bid_bucket(head, &path));
    }
}

size_t bid_lookup_many(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                       uint8_t *lengths)
{
    size_t hits = 0;
    for (size_t first = 0; first < n; first += BID_BATCH) {
        size_t last = n - first < BID_BATCH ? n : first + BID_BATCH;
        struct bid_pin pin = bid_pin(table->pins);
        bid_prefetch_homes(table, keys + first, last - first);
        for (size_t i = first; i < last; i++) {
            struct bid_probe found = bid_find(table, keys[i], NULL);
            lengths[i] = bid_row(&found, ids + i * id_size, id_size);
            hits += (uint8_t)(lengths[i] + 1) > 1; /* neither 0 nor 255 */
        }
        bid_unpin(table->pins, pin);
    }
    return hits;
}

/* ------------------------------------------------------------------------------------------ observations -- */

uint64_t bid_count(const struct bid_table *table)
{
    int64_t count = (int64_t)bid_load(&table->count, BID_RELAXED);
    return count > 0 ? (uint64_t)count : 0; /* a remove may be counted before the insert that it removed */
}

int bid_resizing(const struct bid_table *table)
{
    const struct bid_array *head = bid_load(&table->head, BID_H_ACQUIRE); /* a descriptor: readable without a pin */
    return bid_load(&head->future, BID_F_ACQUIRE) != NULL;
}
