/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups: an object file of its own, which calls nothing outside and includes nothing of the update side.
 *
 * Progress: wait-free. At most two paths (guarantee G1), whatever the writers do: there is no loop but those over the
 * buckets of a path, the matching tags of a bucket, the words of an ID, and the slots of the pin table's window.
 *
 * Why two paths are enough, and why FROZEN does not concern a lookup. Let A be the head that it reads first, and F the
 * future of A that it reads next.
 *   - There is no F. Then nothing of A was frozen when F was read, and what froze since was current since: A decides.
 *   - There is an F. It is asked first. A slot of the key there decides, frozen or not: F can freeze only after the head
 *     has moved to F, which this lookup's read of the head precedes, so a frozen word was current since.
 *   - F has no slot of the key: at that moment nobody had copied or updated the key in F, so A had its state; and A's
 *     word, read after that, was current then or has been since.
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
        if (bid_cas(&slot->owner, &owner, thread, BID_U_ACQUIRE)) /* pairs with bid_unpin() */
            return slot;
    }
    return NULL;
}

struct bid_pin bid_pin(struct bid_pins *pins)
{
    uintptr_t thread = bid_platform_thread();
    struct bid_pin pin = {bid_pin_own(pins, thread)};
    int plain = pin.slot && !pins->fenced;
    if (!pin.slot)
        pin.slot = bid_pin_temporary(pins, thread);
    if (pin.slot)
        bid_pin_enter(pins, pin.slot);
    else
        bid_add(&pins->area->crowd, 1, BID_U_RELEASE);
    if (plain)
        bid_platform_compiler_barrier();
    else
        atomic_thread_fence(BID_S_FENCE); /* (S) pairs with bid_platform_barrier() in reclaim.c */
    return pin;
}

void bid_unpin(struct bid_pins *pins, struct bid_pin pin)
{
    if (!pin.slot) {
        bid_sub(&pins->area->crowd, 1, BID_U_RELEASE); /* (U) */
        return;
    }
    bid_unpin_plain(pin.slot);
    if (pin.slot >= pins->area->slots + BID_PIN_SLOTS)
        bid_store(&pin.slot->owner, 0, BID_U_RELEASE); /* (U) pairs with bid_pin_temporary() */
}

/* ---------------------------------------------------------------------------------------------- lookups -- */

/* While a resize is under way: the future array first. A path each; the second's first bucket is fetched meanwhile. */
static __attribute__((noinline)) struct bid_probe bid_find_resizing(const struct bid_array *head,
                                                                    const struct bid_array *future, uint64_t key,
                                                                    struct bid_probe_cost *cost)
{
    struct bid_path path = bid_path(head, key);
    bid_platform_prefetch(bid_bucket(head, &path));
    struct bid_probe found = bid_probe_path(future, key, cost);
    return found.record ? found : bid_probe_path(head, key, cost);
}

/* The key's state, from at most two paths. The caller holds a pin. */
BID_INLINE struct bid_probe bid_find(const struct bid_table *table, uint64_t key, struct bid_probe_cost *cost)
{
    const struct bid_array *head = bid_load(&table->head, BID_H_ACQUIRE);    /* (H) pairs with bid_resize_finish() */
    const struct bid_array *future = bid_load(&head->future, BID_F_ACQUIRE); /* (F) pairs with bid_resize_build() */
    if (__builtin_expect(future != NULL, 0))
        return bid_find_resizing(head, future, key, cost);
    return bid_probe_path(head, key, cost);
}

BID_INLINE int bid_found_live(const struct bid_probe *found)
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

/* The whole of a lookup but the pin. generation: NULL for any. */
BID_INLINE int bid_lookup_pinned(const struct bid_table *table, uint64_t key, const uint32_t *generation,
                                 struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct bid_probe found = bid_find(table, key, cost);
    if (!bid_found_live(&found))
        return BID_ABSENT;
    if (generation && found.record->generation != *generation)
        return BID_STALE;
    unsigned length = bid_word_length(found.word);
    id->generation = found.record->generation;
    id->length = (uint8_t)length;
    if (!length)
        return BID_NO_BUILD_ID;
    bid_copy_id(id->bytes, found.record, length);
    return BID_OK;
}

/* With the general pin. */
static __attribute__((noinline)) int bid_lookup_general(const struct bid_table *table, uint64_t key,
                                                        const uint32_t *generation, struct bid_build_id *id,
                                                        struct bid_probe_cost *cost)
{
    struct bid_pin pin = bid_pin(table->pins);
    int status = bid_lookup_pinned(table, key, generation, id, cost);
    bid_unpin(table->pins, pin);
    return status;
}

BID_INLINE int bid_lookup_plain(const struct bid_table *table, uint64_t key, const uint32_t *generation,
                                struct bid_build_id *id)
{
    struct bid_pin_slot *slot = bid_pin_plain(table->pins);
    if (!slot)
        return bid_lookup_general(table, key, generation, id, NULL);
    int status = bid_lookup_pinned(table, key, generation, id, NULL);
    bid_unpin_plain(slot);
    return status;
}

int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id)
{
    return bid_lookup_plain(table, key, NULL, id);
}

int bid_lookup_generation(const struct bid_table *table, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return bid_lookup_plain(table, key, &generation, id);
}

int bid_lookup_cost(const struct bid_table *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    cost->slots = cost->records = 0;
    return bid_lookup_general(table, key, NULL, id, cost);
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

uint64_t bid_resizes(const struct bid_table *table)
{
    return bid_load(&table->resizes, BID_RELAXED);
}
