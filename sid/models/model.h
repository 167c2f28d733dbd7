/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What every model shares: the real sources of the table at a small size, one table, and threads.
 *
 * A model is a C file whose main() sets a table up, runs a few threads and asserts what they may have seen. The model
 * checker (GenMC, RC11) runs it in every way that the C11 memory model allows. It also reports data races on records
 * and descriptors, and accesses to memory that was freed or never written. So only what an answer may be is asserted.
 */
#ifndef BID_MODEL_H
#define BID_MODEL_H

#include <assert.h>
#include <pthread.h>

#include "bid.h"
#ifdef MODEL_REMOVES_ASIDE
#undef BID_REMOVES_ASIDE
#define BID_REMOVES_ASIDE MODEL_REMOVES_ASIDE
#endif

#ifndef BID_BUCKET_SLOTS
#define BID_BUCKET_SLOTS 2
#endif
#ifndef BID_BUCKET_PLACES
#define BID_BUCKET_PLACES 1 /* so that the second slot has none */
#endif
#include "slot.h"

/* The model checker knows no memcpy() of a length that it cannot see, and no access that overlaps another of a
 * different size; records are written byte by byte, so they are read like that. The IDs of the models are one byte. */
#undef BID_ID_NARROW
#define BID_ID_NARROW 1
static inline void model_copy(uint8_t *to, const uint8_t *from, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = from[i];
}
#ifdef MODEL_GLANCES /* bid_lookup_many() keeps a word in a row of bytes: see many.c */
static void model_copy_word(void *to, const void *from);
#define __builtin_memcpy(to, from, bytes)                                                                              \
    ((bytes) == sizeof(uint64_t) ? model_copy_word((to), (from)) : model_copy((void *)(to), (void *)(from), (bytes)))
#else
#define __builtin_memcpy(to, from, bytes) model_copy((to), (from), (bytes))
#endif

static inline void model_zero(struct bid_record *record)
{
    record->key = 0;
    record->generation = 0;
    for (unsigned i = 0; i < sizeof record->id; i++)
        record->id[i] = 0;
}
#define __builtin_memset(record, zero, bytes) model_zero(record)

#ifdef MODEL_STEPS /* called before each write to shared memory: see truncated.c */
static void model_step(void);
#undef bid_store
#undef bid_add
#undef bid_sub
#undef bid_or
#undef bid_cas
#define bid_store(pointer, value, order) (model_step(), atomic_store_explicit((pointer), (value), (order)))
#define bid_add(pointer, value, order) (model_step(), atomic_fetch_add_explicit((pointer), (value), (order)))
#define bid_sub(pointer, value, order) (model_step(), atomic_fetch_sub_explicit((pointer), (value), (order)))
#define bid_or(pointer, value, order) (model_step(), atomic_fetch_or_explicit((pointer), (value), (order)))
#define bid_cas(pointer, expected, desired, order)                                                                     \
    (model_step(),                                                                                                     \
     atomic_compare_exchange_strong_explicit((pointer), (expected), (desired), (order), memory_order_relaxed))
#endif
#ifdef MODEL_MEMBARRIER /* see membarrier.c */
static void model_interruption(void);
static void model_membarrier(void);
#undef bid_load
#define bid_load(pointer, order) (model_interruption(), atomic_load_explicit((pointer), (order)))
#endif

#define BID_PLATFORM_MODEL
#ifndef MODEL_FENCED_PINS
#define MODEL_FENCED_PINS 0 /* a fence would order more than the table asks for */
#endif
#ifndef BID_CHUNK_BUCKETS
#define BID_CHUNK_BUCKETS 2 /* the whole of a small array */
#endif
#ifndef BID_ARRAYS
#define BID_ARRAYS 4
#endif
#define BID_EARLY_SHARE 1 /* an eighth of these arrays is nothing */
#define BID_SIZE_START 0
#define BID_MANTISSA 2 /* buckets */
#define BID_MANTISSA_ODD 4
#define BID_SEQUENCE_BUCKETS 2
#define BID_MODEL_BASES /* the model checker cannot follow an address that is packed into a word */
#ifndef PIN_SLOTS       /* with fewer than threads, some have to take a temporary one, or count in the overflow */
#define PIN_SLOTS 4
#endif
#ifndef PIN_TEMPORARY
#define PIN_TEMPORARY 1
#endif
#define BID_PIN_SLOTS PIN_SLOTS
#define BID_PIN_WINDOW PIN_SLOTS
#define BID_PIN_TEMPORARY PIN_TEMPORARY
#define BID_PIN_OVERFLOWS 1

#include "array.c"
#include "create.c"
#include "deciding.c"
#include "grace.c"
#include "lookup.c"
#include "move.c"
#include "orphan.c"
#include "reclaim.c"
#include "record.c"
#include "resize.c"
#include "update.c"

#include "platform_model.h"

static struct bid_table table;

char *bid_head_base(uint64_t head)
{
    return table.arrays[bid_head_number(head)].base;
}

/* ---------------------------------------------------------------------------------------------- threads -- */

#define MODEL_THREADS 3 /* at most, beside main() */

/* Thread numbers whose pin slots differ, so that claiming them does not multiply the executions. */
static const uintptr_t model_numbers[1 + MODEL_THREADS] = {1, 2, 3, 5};

struct model_threads {
    pthread_t thread[MODEL_THREADS];
    int running;
};

/* A thread's main function begins with this; `n` is 1 to MODEL_THREADS. */
static inline void model_enter(int n)
{
    model_thread = model_numbers[n];
}

static inline void model_start(struct model_threads *threads, void *(*run)(void *))
{
    pthread_create(&threads->thread[threads->running++], NULL, run, NULL);
}

static inline void model_join(struct model_threads *threads)
{
    while (threads->running)
        pthread_join(threads->thread[--threads->running], NULL);
}

/* ------------------------------------------------------------------------------------------- operations -- */

/* An empty table of two buckets of two slots, with room for two entries before it is resized by itself. */
static inline void model_setup(void)
{
    model_enter(0);
    table.options.expected_entries = 2;
    table.options.flags = BID_FIXED_SEED | BID_FENCED_PINS;
    table.options.seed = 1;
    table.options.id_size = 1;
    bid_store(&table.ticks, 1, BID_RELAXED); /* no reclaiming but where a model asks for it */
    int status = bid_table_fill(&table);
    assert(status == BID_OK);
}

/* Updates in the form for NMI context, which migrate their key across a resize but do not help with the rest of it:
 * less for the model checker to go through. Values are the one byte of an ID and the generation as well, so that a torn
 * answer is noticed. */
#ifndef MODEL_MAY_ALLOCATE
#define MODEL_MAY_ALLOCATE 0
#endif
static inline int model_update(enum bid_kind kind, uint64_t key, uint8_t value)
{
    struct bid_operation op = {
        .kind = kind, .may_allocate = MODEL_MAY_ALLOCATE, .key = key, .generation = value, .id = &value, .length = 1};
    return bid_update(&table, &op);
}

static inline int model_insert(uint64_t key, uint8_t value)
{
    return model_update(BID_INSERT, key, value);
}

static inline int model_replace(uint64_t key, uint8_t value)
{
    return model_update(BID_REPLACE, key, value);
}

static inline int model_remove(uint64_t key)
{
    return model_update(BID_REMOVE, key, 0);
}

#define MODEL_ABSENT 0 /* is no value */

static inline int model_lookup(uint64_t key)
{
    struct bid_build_id id;
    int status = bid_lookup(&table, key, &id);
    if (status == BID_ABSENT)
        return MODEL_ABSENT;
    assert(status == BID_OK && id.length == 1 && id.generation == id.bytes[0]);
    return id.bytes[0];
}

static inline struct bid_array *model_head(void)
{
    return bid_head(&table);
}

/* Gives the head a future, as an update that found too little room does. */
static inline void model_resize_begin(void)
{
    struct bid_pin pin = bid_pin(table.pins);
    int status = bid_resize_begin(&table, model_head(), BID_NEED_RESERVE, 0);
    assert(status == BID_OK);
    bid_unpin(table.pins, pin);
}

/* Finishes the resize that is under way, or one that another thread has begun meanwhile. */
static inline void model_resize_complete(void)
{
    struct bid_pin pin = bid_pin(table.pins);
    int status = bid_resize_complete(&table, model_head());
    assert(status == BID_OK);
    bid_unpin(table.pins, pin);
}

#endif
