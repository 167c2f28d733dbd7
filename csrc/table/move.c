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

/* A head word that was read before the future was seen may have no LEFT, and nothing of that array was frozen then.
 * The release carries the future (H): who reads LEFT sees it. Less would do: see csrc/README.md. */
void bid_leave(struct bid_table *table, const struct bid_array *array)
{
    uint64_t head = bid_load(&table->head, BID_RELAXED);
    BID_ASSERT(bid_is_left(array));
    while (bid_array_of(table, head) == array && !(head & BID_HEAD_LEFT))
        if (bid_cas(&table->head, &head, head | BID_HEAD_LEFT, BID_H_RELEASE)) /* (H) pairs with loads of the head */
            return;
}

/* A record in F, filled with a copy of one in A. *index is its unit, and is left alone if there is none. */
static int bid_copy_record(struct bid_table *table, const struct bid_record *from, struct bid_array *future,
                           struct bid_deciding *at, enum bid_taker taker, int may_allocate, uint64_t *index)
{
    uint64_t taken;
    int status = bid_record_take(table, future, at, taker, may_allocate, &taken);
    if (status != BID_OK)
        return status;
    struct bid_record *to = bid_record_at(future->base, taken);
    for (unsigned i = 0; i < table->record_units; i++)
        to[i] = from[i];
    *index = taken;
    return BID_OK;
}

/* Gives F a slot for a sealed live word of A, unless its key has one. BID_OK, 1 if it did that, or an error, which is
 * no matter if other threads have made the copy meanwhile. */
static int bid_copy(struct bid_table *table, const struct bid_array *array, struct bid_array *future, uint64_t word,
                    enum bid_taker taker, int may_allocate)
{
    const struct bid_record *from = bid_record_of(array->base, word);
    struct bid_deciding at;
    uint64_t index = 0; /* of the copy, once it is made */
    int status = BID_STEP_AGAIN;
    BID_ASSERT(word & BID_FROZEN && bid_word_is_live(word));
    for (;;) {
        bid_deciding_find(table, future, from->key, &at);
        if (at.own || at.word & BID_FROZEN) /* F freezes only when A is done: then the copy is made already */
            return BID_OK;
        if (status != BID_STEP_AGAIN)
            return status == BID_STEP_NO_ROOM ? BID_E_COLLISIONS : status;
        if (!bid_word_is_empty(at.word))
            return BID_E_COLLISIONS;
        if (!index)
            status = bid_copy_record(table, from, future, &at, taker, may_allocate, &index);
        if (index && bid_cas(at.slot, &at.word, bid_word_live(at.tag, index, bid_word_length(word)),
                             BID_P_RELEASE)) /* (P) pairs with loads of slots */
            return 1;
        if (index)
            status = BID_STEP_AGAIN;
    }
}

/* Freezes one word; what it then is for good. The caller has seen a future, which the FROZEN bit publishes (P). */
static uint64_t bid_freeze(bid_word *slot)
{
    uint64_t word = bid_load(slot, BID_P_ACQUIRE); /* (P): the record will be read */
    while (!(word & BID_FROZEN)) {
        uint64_t expected = word;
        if (bid_cas(slot, &expected, word | BID_FROZEN, BID_P_RELEASE)) /* (P) with bid_deciding_find() */
            return word | BID_FROZEN;
        word = bid_load(slot, BID_P_ACQUIRE); /* (P) */
    }
    return word;
}

/* Sealing freezes the deciding word alone. The slots before it belong to other keys for good; they cannot become this
 * key's, so they need not be frozen. */
int bid_migrate(struct bid_table *table, struct bid_array *array, struct bid_array *future, uint64_t key,
                enum bid_taker taker, int may_allocate)
{
    struct bid_deciding at;
    bid_deciding_find(table, array, key, &at);
    while (!(at.word & BID_FROZEN)) {
        if (bid_cas(at.slot, &at.word, at.word | BID_FROZEN, BID_P_RELEASE)) /* (P) with bid_deciding_find() */
            at.word |= BID_FROZEN;
        else
            bid_deciding_find(table, array, key, &at);
    }
    if (!at.own || !bid_word_is_live(at.word))
        return BID_OK;
    int status = bid_copy(table, array, future, at.word, taker, may_allocate);
    if (status <= 0)
        return status;
    bid_add(&future->claimed, 1, BID_RELAXED);
    return BID_OK;
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

/* What a chunk and its copies need of both arrays, on its way. With another seed the copies go anywhere. */
static void bid_chunk_fetch(const struct bid_array *array, const struct bid_array *future, uint64_t first, uint64_t end)
{
    for (char *line = (char *)bid_bucket(array->base, first); line < (char *)bid_bucket(array->base, end); line += 64)
        bid_platform_prefetch(line);
    if (array->seed != future->seed)
        return;
    char *from = (char *)bid_bucket(future->base, first * future->buckets / array->buckets);
    char *to = (char *)bid_bucket(future->base, end * future->buckets / array->buckets);
    for (; from < to; from += 64)
        bid_platform_prefetch(from);
}

/* Freezes a bucket, and gathers its live words. Nobody claims a slot after the first EMPTY one, so these need not be
 * frozen once that one is. */
static int bid_freeze_bucket(struct bid_array *array, bid_word *bucket, uint64_t *live)
{
    int n = 0;
    BID_ASSERT(bid_is_left(array));
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_freeze(&bucket[i]);
        if (bid_word_is_empty(word))
            break;
        if (!bid_word_is_live(word))
            continue;
        bid_platform_prefetch(bid_record_of(array->base, word));
        live[n++] = word;
    }
    return n;
}

static int bid_move_chunk(struct bid_table *table, struct bid_array *array, struct bid_array *future, uint64_t chunk)
{
    uint64_t live[BID_CHUNK_SLOTS], first = chunk * BID_CHUNK_BUCKETS, end = first + BID_CHUNK_BUCKETS, claimed = 0;
    int n = 0, status = BID_OK;
    if (end > array->buckets)
        end = array->buckets;
    bid_chunk_fetch(array, future, first, end);
    for (uint64_t bucket = first; bucket < end; bucket++)
        n += bid_freeze_bucket(array, bid_bucket(array->base, bucket), live + n);
    for (int i = 0; i < n && status >= 0; i++) {
        status = bid_copy(table, array, future, live[i], BID_TAKE_COPY, 1);
        claimed += status > 0;
    }
    if (claimed)
        bid_add(&future->claimed, claimed, BID_RELAXED);
    return status < 0 ? status : BID_OK;
}

/* The head moves from A with LEFT, which nobody changes but by this: see bid_seed_adopt(). */
static void bid_resize_finish(struct bid_table *table, struct bid_array *array, struct bid_array *future)
{
    uint64_t expected = bid_load(&table->head, BID_RELAXED), desired = future->word;
    BID_ASSERT(bid_all_done(array) && bid_future(table, array) == future);
    if (bid_array_of(table, expected) != array)
        return;
    BID_ASSERT(expected & BID_HEAD_LEFT);
    if (future->seed != bid_load(&table->seed, BID_RELAXED))
        desired |= BID_HEAD_RESEEDED;
    if (!bid_cas(&table->head, &expected, desired, BID_H_RELEASE)) /* (H) pairs with every load of the head */
        return;
    bid_add(&table->resizes, 1, BID_E_RELEASE); /* (E) pairs with bid_reclaim_retired() */
    bid_retire(table);                          /* whoever comes later can do that as well: bid_reclaim() does */
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
    struct bid_array *future = bid_future(table, array);
    int status = BID_OK;
    if (future)
        bid_leave(table, array);
    while (status == BID_OK && future && bid_is_head(table, array))
        status = bid_help(table, array, future);
    return status;
}
