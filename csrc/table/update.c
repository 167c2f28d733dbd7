/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Updates: insert, replace, upsert and remove, each linearized by one compare-and-swap of one slot word.
 *
 * In an array that nobody resizes:  insert   EMPTY or TOMBSTONE -> LIVE
 *                                   replace  LIVE -> LIVE with another record
 *                                   remove   LIVE -> TOMBSTONE; the record stays, so that the slot still names its key
 * An update that meets a future array helps with the resize, migrates its key (seal, copy), then works there.
 *
 * Progress: lock-free. Each turn of a loop here follows on a compare-and-swap that another thread won, or on a resize
 * that moved on. No step waits: an update that needs the resize to be finished finishes it itself.
 */
#include "update.h"

/* ------------------------------------------------------------------------------------------ in one array -- */

static void bid_record_fill(const struct bid_table *table, const struct bid_array *array,
                            const struct bid_operation *op)
{
    struct bid_record *record = bid_record_at(array->base, op->record_index);
    __builtin_memset(record, 0, table->record_units * sizeof *record);
    record->key = op->key;
    record->generation = op->generation;
    if (op->length)
        __builtin_memcpy((uint8_t *)record + BID_RECORD_ID, op->id, op->length);
}

/* A filled record in this array, kept for the next attempt if this one's compare-and-swap fails. */
static int bid_operation_record(struct bid_table *table, struct bid_array *array, struct bid_operation *op,
                                struct bid_deciding *at)
{
    if (op->record_array == array)
        return BID_OK;
    int status = bid_record_take(table, array, at, BID_TAKE_UPDATE, op->may_allocate, &op->record_index);
    if (status != BID_OK)
        return status;
    bid_record_fill(table, array, op);
    op->record_array = array;
    return BID_OK;
}

/* Whether the operation ends here because of what the key's slot says; its status then. */
static int bid_operation_declines(const struct bid_array *array, const struct bid_operation *op,
                                  const struct bid_deciding *at, int *status)
{
    int live = at->own && bid_word_is_live(at->word);
    if (op->kind == BID_UPSERT || live == (op->kind != BID_INSERT)) {
        if (!op->match_generation || bid_record_of(array->base, at->word)->generation == op->generation)
            return 0;
        *status = BID_STALE;
        return 1;
    }
    *status = live ? BID_EXISTS : BID_ABSENT;
    return 1;
}

/*
 * Counts an entry up before it is there, if the table and the array may take one more. Returns BID_OK, BID_STEP_MOVED,
 * BID_STEP_NO_ROOM or BID_E_MAX_ENTRIES.
 *
 * So the count is never below the entries, whatever stands still where: there are never more than max_entries. And what
 * was stopped on its way into the array is in it. Whoever builds the future array lowers the limit, then adds 0 to the
 * count (C): an addition that comes before is in what that reads, and one that comes after sees the limit. A remove
 * makes room in the array only if it was done there: one that was done in the future array takes the count down by a
 * release (C), so who gets that room sees that there is a future, and goes there.
 */
static int bid_entry_admit(struct bid_table *table, struct bid_array *array)
{
    uint64_t before = bid_add(&table->count, 1, BID_C_ACQUIRE); /* (C) pairs with bid_limit_entries() and removes */
    int left = bid_is_left(array);
    if (!left && before < table->options.max_entries && before < bid_load(&array->live_limit, BID_RELAXED))
        return BID_OK;
    bid_sub(&table->count, 1, BID_RELAXED);
    return left ? BID_STEP_MOVED : before >= table->options.max_entries ? BID_E_MAX_ENTRIES : BID_STEP_NO_ROOM;
}

/* What an insert or replace needs: a slot, room in the array, a record. BID_OK and the word to publish, an error, or
 * one of enum bid_step. */
static int bid_operation_prepare(struct bid_table *table, struct bid_array *array, struct bid_operation *op,
                                 struct bid_deciding *at, uint64_t *word)
{
    int has_slot = at->own || bid_word_is_empty(at->word), adds = !at->own || !bid_word_is_live(at->word);
    int status = adds ? bid_entry_admit(table, array) : BID_OK;
    if (status != BID_OK) /* a table that is full says so, whatever the probe sequence */
        return status == BID_STEP_NO_ROOM && !has_slot ? BID_STEP_FULL : status;
    status = BID_STEP_FULL;
    if (has_slot)
        status = bid_operation_record(table, array, op, at);
    if (status != BID_OK && adds)
        bid_sub(&table->count, 1, BID_RELAXED);
    *word = bid_word_live(at->tag, op->record_index, op->length);
    return status;
}

/* Counters for statistics and for sizing, but for `count`. */
static void bid_operation_count(struct bid_table *table, struct bid_array *array, const struct bid_operation *op,
                                const struct bid_deciding *at)
{
    if (!at->own)
        bid_add(&array->claimed, 1, BID_RELAXED);
    if (op->kind != BID_REMOVE)
        return;
    uint64_t before = bid_sub(&table->count, 1, BID_C_RELEASE); /* (C) pairs with bid_entry_admit() */
    BID_ASSERT(before > 0);
    (void)before;
}

/* One attempt. BID_OK with op->status set, an error, or one of enum bid_step. */
static int bid_update_slot(struct bid_table *table, struct bid_array *array, struct bid_operation *op)
{
    struct bid_deciding at;
    bid_deciding_find(table, array, op->key, &at);
    if (at.word & BID_FROZEN)
        return BID_STEP_MOVED;
    if (bid_operation_declines(array, op, &at, &op->status))
        return BID_OK;
    int live = at.own && bid_word_is_live(at.word);
    uint64_t word = bid_word_tombstone(at.word);
    int status = op->kind == BID_REMOVE ? BID_OK : bid_operation_prepare(table, array, op, &at, &word);
    if (status != BID_OK)
        return status;
    if (!bid_cas(at.slot, &at.word, word, BID_P_RELEASE)) { /* (P) pairs with loads of slots: linearization */
        if (op->kind != BID_REMOVE && !live)
            bid_sub(&table->count, 1, BID_RELAXED);
        return BID_STEP_AGAIN;
    }
    op->status = op->kind == BID_UPSERT && live ? BID_EXISTS : BID_OK;
    bid_operation_count(table, array, op, &at);
    return BID_OK;
}

static int bid_update_array(struct bid_table *table, struct bid_array *array, struct bid_operation *op)
{
    int status;
    do
        status = bid_update_slot(table, array, op);
    while (status == BID_STEP_AGAIN);
    return status;
}

/* ------------------------------------------------------------------------------------- across a resize -- */

/* The home buckets of a key, the one that is written with all its lines, on their way while something else is done.
 * Inlined: GCC takes a function that does nothing but prefetch for one that does nothing, and leaves its calls out. */
static inline __attribute__((always_inline)) void bid_prefetch(const struct bid_array *head,
                                                               const struct bid_array *future, uint64_t key)
{
    const struct bid_array *array = future ? future : head;
    char *bucket = (char *)bid_bucket(array->base, bid_sequence(array, key).bucket);
    for (unsigned line = 0; line < BID_BUCKET_BYTES; line += 64)
        bid_platform_prefetch(bucket + line);
    if (future)
        bid_platform_prefetch(bid_bucket(head->base, bid_sequence(head, key).bucket));
}

/* One attempt while `array` is being resized. BID_STEP_MOVED: look at the head again. */
static int bid_update_resizing(struct bid_table *table, struct bid_array *array, struct bid_array *future,
                               struct bid_operation *op)
{
    enum bid_taker taker = op->kind == BID_REMOVE ? BID_TAKE_REMOVE : BID_TAKE_COPY;
    bid_prefetch(array, future, op->key); /* needed after what comes first */
    bid_leave(table, array);
    int status = op->may_allocate ? bid_help(table, array, future) : BID_OK;
    if (status == BID_OK || status == BID_E_COLLISIONS || bid_lacks_memory(status)) /* of other keys: no reason yet */
        status = bid_migrate(table, array, future, op->key, taker, op->may_allocate);
    if (status != BID_OK)
        return status;
    status = bid_update_array(table, future, op);
    if (status != BID_STEP_FULL && status != BID_STEP_NO_ROOM)
        return status;
    if (!op->may_allocate)
        return BID_E_WOULD_ALLOCATE;
    /* The future array is full already: a third may begin only when the head has moved to the second. */
    status = bid_resize_complete(table, array);
    return status == BID_OK ? BID_STEP_MOVED : status;
}

/* One attempt. The caller holds a pin. */
static int bid_update_once(struct bid_table *table, struct bid_operation *op)
{
    struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    if (op->ahead)
        bid_prefetch(head, future, *op->ahead);
    if (future)
        return bid_update_resizing(table, head, future, op);
    int status = bid_update_array(table, head, op);
    if (status == BID_OK && op->may_allocate)
        bid_resize_consider(table, head);
    if (status != BID_STEP_FULL && status != BID_STEP_NO_ROOM)
        return status;
    if (!op->may_allocate)
        return BID_E_WOULD_ALLOCATE;
    status = bid_resize_begin(table, head, status == BID_STEP_FULL ? BID_NEED_SLOT : BID_NEED_ROOM, 0);
    return status == BID_OK ? BID_STEP_MOVED : status;
}

#define BID_RECLAIM_EVERY 64 /* updates, while memory waits to be freed */

/* Outside of the pin, which would hold up what it wants to free. */
static void bid_reclaim_now_and_then(struct bid_table *table)
{
    if (bid_waits(table) && bid_add(&table->ticks, 1, BID_RELAXED) % BID_RECLAIM_EVERY == 0)
        bid_reclaim(table);
}

/* Each attempt has a pin of its own, so that an update that goes through many resizes does not hold up what they left.
 * */
static int bid_update_until_done(struct bid_table *table, struct bid_operation *op)
{
    for (;;) {
        struct bid_pin pin = bid_pin_update(table->pins, op->may_allocate);
        op->record_array = NULL;
        int status = bid_update_once(table, op);
        bid_unpin_update(table->pins, pin);
        if (status == BID_STEP_MOVED && op->may_allocate)
            bid_reclaim(table);
        if (status != BID_STEP_MOVED)
            return status == BID_OK ? op->status : status;
    }
}

static int bid_update(struct bid_table *table, struct bid_operation *op)
{
    if (bid_is_of_parent(table))
        return BID_E_REGION;
    int status = bid_update_until_done(table, op);
    if (op->may_allocate && bid_lacks_memory(status) && bid_reclaim_some(table))
        status = bid_update_until_done(table, op);
    if (op->may_allocate)
        bid_reclaim_now_and_then(table);
    return status;
}

/* --------------------------------------------------------------------------------- the public functions -- */

static int bid_store_entry(struct bid_table *table, enum bid_kind kind, int may_allocate, uint64_t key,
                           uint32_t generation, const void *id, size_t length)
{
    if (!table || (!id && length))
        return BID_E_NULL;
    if (length > table->options.id_size)
        return BID_E_ID_LENGTH;
    struct bid_operation op = {.kind = kind,
                               .may_allocate = may_allocate,
                               .key = key,
                               .generation = generation,
                               .id = id,
                               .length = (unsigned)length};
    return bid_update(table, &op);
}

static int bid_remove_entry(struct bid_table *table, struct bid_operation op)
{
    op.kind = BID_REMOVE;
    return table ? bid_update(table, &op) : BID_E_NULL;
}

int bid_insert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_store_entry(table, BID_INSERT, 1, key, generation, id, length);
}

int bid_insert_nmi(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_store_entry(table, BID_INSERT, 0, key, generation, id, length);
}

int bid_replace(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_store_entry(table, BID_REPLACE, 1, key, generation, id, length);
}

int bid_upsert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return bid_store_entry(table, BID_UPSERT, 1, key, generation, id, length);
}

int bid_remove(struct bid_table *table, uint64_t key)
{
    return bid_remove_entry(table, (struct bid_operation){.key = key, .may_allocate = 1});
}

int bid_remove_nmi(struct bid_table *table, uint64_t key)
{
    return bid_remove_entry(table, (struct bid_operation){.key = key});
}

int bid_remove_generation(struct bid_table *table, uint64_t key, uint32_t generation)
{
    return bid_remove_entry(
        table, (struct bid_operation){.key = key, .may_allocate = 1, .generation = generation, .match_generation = 1});
}

#define BID_AHEAD 8 /* keys: what one of a batch waits for in memory is fetched so many before its turn */

int bid_insert_many(struct bid_table *table, const uint64_t *keys, size_t n, const uint8_t *ids, size_t id_size,
                    const uint8_t *lengths, size_t *inserted)
{
    size_t new_entries = 0;
    int status = table && (n == 0 || (keys && ids)) ? BID_OK : BID_E_NULL;
    for (size_t i = 0; i < n && status >= 0; i++) {
        size_t length = lengths ? lengths[i] : id_size;
        if (lengths && length == BID_LENGTH_NO_BUILD_ID)
            length = 0;
        struct bid_operation op = {.kind = BID_INSERT,
                                   .may_allocate = 1,
                                   .key = keys[i],
                                   .id = ids + i * id_size,
                                   .length = (unsigned)length,
                                   .ahead = n - i > BID_AHEAD ? &keys[i + BID_AHEAD] : NULL};
        status = length <= id_size && length <= table->options.id_size ? bid_update(table, &op) : BID_E_ID_LENGTH;
        new_entries += status == BID_OK;
    }
    if (inserted)
        *inserted = new_entries;
    return status < 0 ? status : BID_OK;
}
