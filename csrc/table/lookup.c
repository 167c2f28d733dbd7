/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups: an object file of its own, which calls nothing outside and includes nothing of the update side.
 *
 * Progress: wait-free. One bucket, then at most two probe sequences (guarantee G1), whatever the writers do: there is
 * no loop but those over the buckets of a sequence, the slots of a bucket, the words of an ID, the keys of a batch, and
 * the slots of the pin table's window.
 *
 * Why two sequences are enough. Let A be the head that it reads first, and F the future of A that it reads next.
 *   - The head word has no LEFT, or there is no F. Then nothing of A was frozen at that moment, and what froze since
 *     was current since: A decides.
 *   - A slot of the key in F decides, frozen or not: F can freeze only after the head has moved to F, which this
 *     lookup's read of the head precedes, so a frozen word was current since.
 *   - A slot of the key in A decides if it is not FROZEN, or if F, asked before or after, has no slot of the key:
 *     nobody had copied or updated the key in F at that moment, so A had its state.
 * csrc/README.md has the argument in full, with every edge.
 */
#include "pin.h"
#include "probe.h"

#ifndef __KERNEL__ /* where all pins are inline */
#include "../process/pin_forms.h"
#endif

/* ---------------------------------------------------------------------------------------------- lookups -- */

/* The key's state, from at most two probe sequences. The caller holds a pin.
 * While a resize is under way, which array is asked first is a guess, by how far the resize is. A wrong one costs a
 * second sequence; the order of the two makes no difference to the answer. */
static struct bid_found bid_find(const struct bid_table *table, uint64_t key, struct bid_probe_cost *cost)
{
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    if (!future)
        return bid_probe(head, key, cost);
    int moved = bid_sequence(head, key).bucket < bid_load(&head->moved, BID_RELAXED); /* a hint: it orders nothing */
    struct bid_found found = bid_probe(moved ? future : head, key, cost);
    if (found.record && (moved || !(found.word & BID_FROZEN)))
        return found;
    struct bid_found other = bid_probe(moved ? head : future, key, cost);
    return other.record ? other : found;
}

BID_INLINE int bid_found_live(struct bid_found found)
{
    return found.record && bid_word_is_live(found.word);
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

#define BID_ANY_GENERATION UINT64_MAX

#define BID_WORD_FORM (BID_STATE_MASK | BID_LENGTH_MASK << BID_LENGTH_SHIFT)
#define BID_WORD_USUAL (BID_LIVE | (uint64_t)BID_ID_NARROW << BID_LENGTH_SHIFT)

/* The answer that a key's slot and record give; quick where the word says what nearly every one says. */
BID_INLINE int bid_answer(struct bid_found found, uint64_t generation, struct bid_build_id *id)
{
    int usual = __builtin_expect((found.word & BID_WORD_FORM) == BID_WORD_USUAL, 1);
    if (!usual && !bid_found_live(found))
        return BID_ABSENT;
    if (generation != BID_ANY_GENERATION && found.record->generation != generation)
        return BID_STALE;
    unsigned length = usual ? BID_ID_NARROW : bid_word_length(found.word);
    id->generation = found.record->generation;
    id->length = (uint8_t)length;
    if (!length)
        return BID_NO_BUILD_ID;
    bid_copy_id(id->bytes, found.record, length);
    return BID_OK;
}

/* Gives up the plain pin of this thread, whose slot's word was `before`: one argument less for those who are called
 * with a pin, and all fit in registers. */
BID_INLINE void bid_pin_leave_plain(const struct bid_table *table, uint64_t before)
{
    bid_pin_leave((struct bid_pin){bid_pin_first(table->simple_pins), before});
}

/* A lookup by a thread that has a plain pin, which it leaves. */
BID_APART int bid_lookup_pinned(const struct bid_table *table, uint64_t key, uint64_t generation,
                                struct bid_build_id *id, uint64_t before, struct bid_probe_cost *cost)
{
    int status = bid_answer(bid_find(table, key, cost), generation, id);
    bid_pin_leave_plain(table, before);
    return status;
}

/* The array that bid_find() would ask first. Which one that is comes out of masks, not of a branch: half way through a
 * resize it would be mispredicted every other time. */
BID_INLINE const struct bid_array *bid_choose(const struct bid_array *head, const struct bid_array *future,
                                              uint64_t mixed, uint64_t *moved)
{
    uint64_t home = bid_sequence_mixed(mixed, head->buckets).bucket;
    *moved = home < bid_load(&head->moved, BID_RELAXED); /* a hint, as there */
    return (const struct bid_array *)((uintptr_t)head ^ (((uintptr_t)head ^ (uintptr_t)future) & -(uintptr_t)*moved));
}

/* The same in the midst of a resize, or with an array that was reseeded: one look at the home bucket in the array that
 * bid_find() would ask first, which nearly always decides. */
BID_APART int bid_lookup_resizing(const struct bid_table *table, uint64_t key, uint64_t generation,
                                  struct bid_build_id *id, uint64_t before, struct bid_probe_cost *cost)
{
    const struct bid_array *head = bid_head(table), *future = bid_future(table, head), *array = head;
    uint64_t mixed = bid_mix(key, head->seed), moved = 1;
    if (future)
        array = bid_choose(head, future, mixed, &moved);
    if (__builtin_expect(array->seed != head->seed, 0))
        mixed = bid_mix(key, array->seed);
    struct bid_found found = bid_home_search(array->base, array->buckets, mixed, key, cost);
    uint64_t decides = moved | !(found.word & BID_FROZEN);
    if (__builtin_expect(found.record ? !decides : future || found.word == BID_FOUND_GOES_ON, 0))
        return bid_lookup_pinned(table, key, generation, id, before, cost);
    int status = bid_answer(found, generation, id);
    bid_pin_leave_plain(table, before);
    return status;
}

/* Any lookup. */
BID_APART int bid_lookup_general(const struct bid_table *table, uint64_t key, uint64_t generation,
                                 struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct bid_pin pin = bid_pin(table->pins);
    int status = bid_answer(bid_find(table, key, cost), generation, id);
    bid_unpin(table->pins, pin);
    return status;
}

/* Nearly every lookup is this simple: a plain pin, no resize, and the home bucket says it all. It waits for two lines
 * of memory one after the other: the table's first one, and the bucket's. Whatever is not that simple starts again, in
 * general form: this adds one bucket to the bound, and calls nothing, so it needs no stack. The instructions count, for
 * the more lookups the processor has under way at once, the more of their misses overlap. */
BID_INLINE int bid_lookup_simple(const struct bid_table *table, uint64_t key, uint64_t generation,
                                 struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct bid_pin pin = bid_pin_plain(table->pins, table->simple_pins);
    if (__builtin_expect(!pin.slot, 0))
        return bid_lookup_general(table, key, generation, id, cost);
    uint64_t head = bid_load(&table->head, BID_H_ACQUIRE); /* (H) as in bid_head() */
    if (__builtin_expect(head & BID_HEAD_GENERAL, 0))
        return bid_lookup_resizing(table, key, generation, id, pin.before, cost);
    uint64_t mixed = bid_mix(key, bid_load(&table->seed, BID_RELAXED)); /* after the head: see bid_seed_adopt() */
    struct bid_found found = bid_home_search(bid_head_base(head), bid_head_buckets(head), mixed, key, cost);
    if (__builtin_expect(found.word == BID_FOUND_GOES_ON, 0))
        return bid_lookup_pinned(table, key, generation, id, pin.before, cost);
    int status = bid_answer(found, generation, id);
    bid_pin_leave(pin);
    return status;
}

int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id)
{
    return bid_lookup_simple(table, key, BID_ANY_GENERATION, id, NULL);
}

int bid_lookup_generation(const struct bid_table *table, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    return bid_lookup_simple(table, key, generation, id, NULL);
}

int bid_lookup_cost(const struct bid_table *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    cost->slots = cost->records = 0;
    return bid_lookup_simple(table, key, BID_ANY_GENERATION, id, cost);
}

/* ----------------------------------------------------------------------------------------- many at once -- */

/* A row of any width, for an ID of any length or none. */
BID_APART void bid_row_fill(uint8_t *row, size_t id_size, const struct bid_record *record, unsigned length)
{
    size_t i = 0;
    for (; i < length && i < id_size; i++)
        row[i] = ((const uint8_t *)record)[BID_RECORD_ID + i];
    for (; i < id_size; i++)
        *(volatile uint8_t *)&row[i] = 0; /* no compiler makes a call of memset() of this */
}

/* One row of bid_lookup_many(): always written whole. */
static inline uint8_t bid_row(struct bid_found found, uint8_t *row, size_t id_size)
{
    unsigned length = bid_found_live(found) ? bid_word_length(found.word) : 0;
    if (__builtin_expect(id_size == BID_ID_NARROW && length && length <= BID_ID_NARROW, 1))
        __builtin_memcpy(row, found.record->id, BID_ID_NARROW);
    else
        bid_row_fill(row, id_size, found.record, length);
    return (uint8_t)(bid_found_live(found) && !length ? BID_LENGTH_NO_BUILD_ID : length);
}

#define BID_BATCH 256     /* keys for which one pin is held */
#define BID_STEPS_APART 8 /* keys between two steps of one: their cache misses overlap */

/* First step of a key: the words of its home bucket are fetched, but not its places: one of these is enough. */
BID_INLINE void bid_fetch_words(const struct bid_array *head, uint64_t key)
{
    bid_platform_prefetch(bid_bucket(head->base, bid_sequence(head, key).bucket));
}

/* Second step: a glance at them. It is kept in the key's row until the answer takes its place, for the stack is not
 * ours to fill. The record is fetched. */
BID_INLINE void bid_fetch_record(const struct bid_array *head, uint64_t key, uint8_t *row)
{
    struct bid_sequence home = bid_sequence(head, key);
    uint64_t word = bid_glance(bid_bucket(head->base, home.bucket), home.tag);
    if (__builtin_expect(word & BID_TAG_ONE, 1))
        bid_platform_prefetch(bid_record_of(head->base, word));
    __builtin_memcpy(row, &word, sizeof word);
}

/* Third step: the answer. Returns 1 if the key has a build ID, else 0. */
BID_INLINE size_t bid_answer_row(const struct bid_table *table, const struct bid_array *head, uint64_t key, int fetched,
                                 uint8_t *row, size_t id_size, uint8_t *length)
{
    uint64_t glance = BID_FOUND_GOES_ON;
    if (fetched)
        __builtin_memcpy(&glance, row, sizeof glance);
    struct bid_found found = bid_glanced(head->base, glance, key);
    if (__builtin_expect(found.word == BID_FOUND_GOES_ON, 0))
        found = bid_find(table, key, NULL);
    *length = bid_row(found, row, id_size);
    return *length != 0 && *length != BID_LENGTH_NO_BUILD_ID;
}

/* At most BID_BATCH keys. Returns how many have a build ID. The caller holds a pin. In the midst of a resize, or if
 * there is no room for a word in a row, the third step does all. */
BID_INLINE size_t bid_lookup_batch(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *rows,
                                   size_t id_size, uint8_t *lengths)
{
    uint64_t word = bid_load(&table->head, BID_H_ACQUIRE); /* (H) as in bid_head() */
    const struct bid_array *head = bid_array_of(table, word);
    size_t hits = 0, fetched = id_size >= sizeof word && !(word & BID_HEAD_LEFT) ? n : 0;
    for (size_t third = 0 - (size_t)BID_STEPS_APART * 2; third != n; third++) { /* what is below 0 is not below n */
        size_t second = third + BID_STEPS_APART, first = second + BID_STEPS_APART;
        if (first < fetched)
            bid_fetch_words(head, keys[first]);
        if (second < fetched)
            bid_fetch_record(head, keys[second], rows + second * id_size);
        if (third < n)
            hits += bid_answer_row(table, head, keys[third], fetched != 0, rows + third * id_size, id_size,
                                   lengths + third);
    }
    return hits;
}

size_t bid_lookup_many(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                       uint8_t *lengths)
{
    size_t hits = 0;
    for (size_t some; n; n -= some, keys += some, ids += some * id_size, lengths += some) {
        some = n < BID_BATCH ? n : BID_BATCH;
        struct bid_pin pin = bid_pin(table->pins);
        hits += bid_lookup_batch(table, keys, some, ids, id_size, lengths);
        bid_unpin(table->pins, pin);
    }
    return hits;
}

/* ------------------------------------------------------------------------------------------ observations -- */

uint64_t bid_count(const struct bid_table *table)
{
    return bid_load(&table->count, BID_RELAXED);
}

int bid_resizing(const struct bid_table *table)
{
    /* A descriptor may be read without a pin. */
    return bid_is_left(bid_array_of(table, bid_load(&table->head, BID_RELAXED)));
}

uint64_t bid_resizes(const struct bid_table *table)
{
    return bid_load(&table->resizes, BID_RELAXED);
}
