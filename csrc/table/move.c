/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A resize at work: seal, copy, help, and move the head.
 *
 * Invariants, A being the head and F its future:
 *   1. A key whose deciding word in A is FROZEN is sealed: it can change in F only.
 *   2. A copy into F is made only of a sealed LIVE word, and only if F has no slot of the key: a copy that comes late
 *      finds the key's slot, live or tombstone, and does nothing. No resurrection.
 *   3. An update in F comes after the copy of its key, so a remove finds a slot to leave its tombstone in.
 *   4. The done bit of a chunk is set when the slots of each of its buckets are FROZEN up to the first EMPTY one, that
 *      included, and all its live keys have a slot in F (D); the head moves when all bits are set (H). F gets a future
 *      only after that: at most two arrays are in use.
 * Progress: lock-free. A chunk whose helper stands still is done again by others.
 */
#include "update.h"

#define BID_CHUNK_SLOTS (BID_CHUNK_BUCKETS * BID_BUCKET_SLOTS)
#ifndef BID_COPY_SLOTS
#define BID_COPY_SLOTS BID_CHUNK_SLOTS /* that one call copies: 32 bytes of stack each */
#endif

static void bid_copy_record(struct bid_record *to, const struct bid_record *from, unsigned units)
{
    for (unsigned i = 0; i < units; i++)
        to[i] = from[i];
}

/* Keeps of the n words those whose key has no slot in F yet, with the slots to claim. Returns how many are left, or
 * BID_E_COLLISIONS. */
static int bid_copy_survey(const struct bid_array *array, const struct bid_array *future, uint64_t *words, int n,
                           struct bid_place *places)
{
    int left = 0;
    for (int i = 0; i < n; i++) {
        struct bid_place *place = &places[left];
        bid_place_find(future, array->records[bid_word_index(words[i])].key, place);
        if (place->own || place->word & BID_FROZEN) /* F freezes only when A is done: then the copy is made already */
            continue;
        if (!bid_word_is_empty(place->word))
            return BID_E_COLLISIONS;
        words[left++] = words[i];
    }
    return left;
}

/* Claims a slot for a copied record; returns whether it did, or found that the key has one. */
static int bid_copy_publish(struct bid_array *future, struct bid_place *place, uint64_t index, unsigned length)
{
    uint64_t key = future->records[index].key;
    for (;;) {
        uint64_t expected = place->word;
        if (bid_cas(place->slot, &expected, bid_word_live(place->pattern, index, length), BID_P_RELEASE)) /* (P) */
            return 1;
        bid_place_find(future, key, place);
        if (place->own || place->word & BID_FROZEN)
            return 0;
        if (!bid_word_is_empty(place->word))
            return BID_E_COLLISIONS;
    }
}

/* Gives F a slot for each of n sealed live words of A, unless its key has one. The records are taken all at once. */
static int bid_copy(struct bid_table *table, const struct bid_array *array, struct bid_array *future, uint64_t *words,
                    int n, int may_allocate)
{
    struct bid_place places[BID_COPY_SLOTS];
    unsigned claimed = 0;
    uint64_t index;
    n = bid_copy_survey(array, future, words, n, places);
    if (n <= 0)
        return n;
    int status = bid_record_take(table, future, (unsigned)n, 1, may_allocate, &index);
    if (status != BID_OK) { /* no matter, if other threads have made the copies meanwhile */
        n = bid_copy_survey(array, future, words, n, places);
        return n <= 0 ? n : status == BID_STEP_NO_ROOM ? BID_E_COLLISIONS : status;
    }
    for (int i = 0; i < n && status >= 0; i++) {
        BID_ASSERT(words[i] & BID_FROZEN && bid_word_is_live(words[i]));
        bid_copy_record(&future->records[index], &array->records[bid_word_index(words[i])], table->record_units);
        status = bid_copy_publish(future, &places[i], index, bid_word_length(words[i]));
        claimed += status > 0;
        index += table->record_units;
    }
    bid_add(&future->claimed, claimed, BID_RELAXED);
    return status < 0 ? status : BID_OK;
}

/* Freezes one word; what it then is for good. The caller has seen a future, which the FROZEN bit publishes (P). */
static uint64_t bid_freeze(bid_word *slot)
{
    uint64_t word = bid_load(slot, BID_P_ACQUIRE); /* (P): the record will be read */
    while (!(word & BID_FROZEN)) {
        uint64_t expected = word;
        if (bid_cas(slot, &expected, word | BID_FROZEN, BID_P_RELEASE)) /* (P) with bid_place_find() */
            return word | BID_FROZEN;
        word = bid_load(slot, BID_P_ACQUIRE); /* (P) */
    }
    return word;
}

/* Sealing freezes the deciding word alone. The slots before it belong to other keys for good; they cannot become this
 * key's, so they need not be frozen. */
int bid_migrate(struct bid_table *table, struct bid_array *array, struct bid_array *future, uint64_t key,
                int may_allocate)
{
    struct bid_place place;
    bid_place_find(array, key, &place);
    while (!(place.word & BID_FROZEN)) {
        uint64_t expected = place.word;
        if (bid_cas(place.slot, &expected, place.word | BID_FROZEN, BID_P_RELEASE)) /* (P) with bid_place_find() */
            place.word |= BID_FROZEN;
        else
            bid_place_find(array, key, &place);
    }
    if (!place.own || !bid_word_is_live(place.word))
        return BID_OK;
    return bid_copy(table, array, future, &place.word, 1, may_allocate);
}

/* ------------------------------------------------------------------------------------------------- help -- */

/* The chunks that are not done begin at or after this word of the bitmap. */
static uint64_t bid_done_words(struct bid_array *array)
{
    uint64_t words = (array->chunks + 63) / 64;
    uint64_t word = bid_load(&array->done_words, BID_D_ACQUIRE); /* (D) pairs with the store below */
    uint64_t first = word;
    while (word < words && bid_load(&array->done[word], BID_D_ACQUIRE) == ~0ull) /* (D) pairs with bid_help() */
        word++;
    if (word != first)
        bid_store(&array->done_words, word, BID_D_RELEASE); /* (D); a late store of less costs a second look */
    return word;
}

static int bid_all_done(struct bid_array *array)
{
    return bid_done_words(array) == (array->chunks + 63) / 64;
}

/* A chunk that nobody has had yet; when there are none left, one whose helper has not finished. */
static uint64_t bid_chunk_choose(struct bid_array *array)
{
    if (bid_load(&array->cursor, BID_RELAXED) < array->chunks) {
        uint64_t chunk = bid_add(&array->cursor, 1, BID_RELAXED);
        if (chunk < array->chunks)
            return chunk;
    }
    uint64_t word = bid_done_words(array);
    if (word == (array->chunks + 63) / 64)
        return 0;
    uint64_t undone = ~bid_load(&array->done[word], BID_RELAXED);
    return undone ? word * 64 + (uint64_t)__builtin_ctzll(undone) : 0;
}

#define BID_MOVED_STEPS 64 /* of the hint for lookups: each costs every reader a cache miss */

/* Chunks are begun from front to back, so this one's end is about how far the resize is. */
static void bid_moved_hint(struct bid_array *array, uint64_t chunk)
{
    if ((chunk + 1) % (array->chunks / BID_MOVED_STEPS + 1) == 0)
        bid_store(&array->moved, (chunk + 1) * BID_CHUNK_BUCKETS, BID_RELAXED);
}

/* Freezes the bucket that begins at a slot, and gathers its live words. Nobody claims a slot after the first EMPTY one,
 * so these need not be frozen once that one is. */
static int bid_freeze_bucket(struct bid_array *array, uint64_t slot, uint64_t *live)
{
    int n = 0;
    BID_ASSERT(bid_load(&array->future, BID_RELAXED));
    for (uint64_t end = slot + BID_BUCKET_SLOTS; slot < end; slot++) {
        uint64_t word = bid_freeze(&array->slots[slot]);
        if (bid_word_is_empty(word))
            break;
        if (!bid_word_is_live(word))
            continue;
        bid_platform_prefetch(&array->records[bid_word_index(word)]);
        live[n++] = word;
    }
    return n;
}

static int bid_move_chunk(struct bid_table *table, struct bid_array *array, struct bid_array *future, uint64_t chunk)
{
    uint64_t live[BID_CHUNK_SLOTS], first = chunk * BID_CHUNK_SLOTS, slots = bid_array_slots(array);
    int n = 0;
    for (uint64_t slot = first; slot < first + BID_CHUNK_SLOTS && slot < slots; slot += BID_BUCKET_SLOTS)
        n += bid_freeze_bucket(array, slot, live + n);
    int status = BID_OK;
    for (int i = 0; i < n && status == BID_OK; i += BID_COPY_SLOTS)
        status = bid_copy(table, array, future, live + i, n - i < BID_COPY_SLOTS ? n - i : BID_COPY_SLOTS, 1);
    return status;
}

static void bid_resize_finish(struct bid_table *table, struct bid_array *array, struct bid_array *future)
{
    struct bid_array *expected = array;
    BID_ASSERT(bid_all_done(array) && bid_load(&array->future, BID_RELAXED) == future);
    if (!bid_cas(&table->head, &expected, future, BID_H_RELEASE)) /* (H) pairs with every load of the head */
        return;
    bid_add(&table->resizes, 1, BID_RELAXED);
    bid_retire(table); /* whoever comes later can do that as well: bid_reclaim() does */
}

int bid_help(struct bid_table *table, struct bid_array *array, struct bid_array *future)
{
    if (!bid_all_done(array)) {
        uint64_t chunk = bid_chunk_choose(array);
        int status = bid_move_chunk(table, array, future, chunk);
        if (status != BID_OK)
            return status;
        bid_or(&array->done[chunk / 64], 1ull << chunk % 64, BID_D_RELEASE); /* (D) pairs with bid_done_words() */
        bid_moved_hint(array, chunk);
    }
    if (bid_all_done(array))
        bid_resize_finish(table, array, future);
    return BID_OK;
}

int bid_resize_complete(struct bid_table *table, struct bid_array *array)
{
    struct bid_array *future = bid_load(&array->future, BID_F_ACQUIRE); /* (F) pairs with bid_resize_build() */
    int status = BID_OK;
    while (status == BID_OK && future &&
           bid_load(&table->head, BID_RELAXED) == array) /* who goes on reads it again (H) */
        status = bid_help(table, array, future);
    return status;
}
