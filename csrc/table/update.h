/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the files of the update side share. Nothing of this is included by the lookup path.
 */
#ifndef BID_UPDATE_H
#define BID_UPDATE_H

#include "bucket.h"
#include "hash.h"
#include "pin.h"

/* For debug builds: whatever is wrong stops the process where it happens. */
#ifdef BID_DEBUG
#define BID_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define BID_ASSERT(condition) ((void)sizeof(condition))
#endif

/* Of a struct that a caller of another version may have made larger or smaller. */
static inline int bid_size_allowed(uint64_t size)
{
    return size >= sizeof size && size <= 4096;
}

/* How an operation on one array ended, beside BID_OK and the errors of the public header. */
enum bid_step {
    BID_STEP_MOVED = 100,   /* the key's deciding word is frozen: go on in the future array */
    BID_STEP_FULL = 101,    /* no EMPTY slot in the probe sequence */
    BID_STEP_NO_ROOM = 102, /* every record of the array is taken, or as many entries as its future has room for */
    BID_STEP_AGAIN = 103,   /* another thread was first: look again */
};

/* Makes a part of the table's memory present. BID_OK, BID_E_NO_MEMORY or BID_E_MLOCK. */
static inline int bid_populate(const struct bid_table *table, void *address, size_t bytes)
{
    int lock = !!(table->options.flags & BID_MLOCK);
    return table->allocator.populate(table->allocator.context, address, bytes, lock);
}

/* Whether bid_reclaim() may find something: a hint. It says after how many resizes nothing was left to free; so it does
 * no harm if it looked before the last one, or if its thread stands still. And a fork may have left something. */
static inline int bid_waits(const struct bid_table *table)
{
    return bid_load(&table->settled, BID_RELAXED) != bid_load(&table->resizes, BID_RELAXED) ||
           bid_load(&table->forks, BID_RELAXED) != bid_load(&table->pins->forks, BID_RELAXED);
}

/* Whether the table is in memory that this process shares with the one from which it was forked. */
static inline int bid_is_of_parent(const struct bid_table *table)
{
    return table->flavor->shared && bid_load(&table->forks, BID_RELAXED) != bid_load(&table->pins->forks, BID_RELAXED);
}

enum bid_kind { BID_INSERT, BID_REPLACE, BID_UPSERT, BID_REMOVE };

struct bid_operation {
    enum bid_kind kind;
    int may_allocate; /* thread context */
    uint64_t key;
    uint32_t generation;
    int match_generation; /* remove only if the entry is for `generation` */
    const void *id;
    unsigned length;
    const uint64_t *ahead; /* the key of an operation that comes soon after this one; or NULL */
    /* A record taken and filled, but not published: used by the next attempt in the same array. */
    struct bid_array *record_array;
    uint64_t record_index;
    int status; /* the result, when a step returns BID_OK */
};

/* The word that decides about a key in one array, and its slot: the key's own, else the first EMPTY one of its probe
 * sequence, else the last one of that. */
struct bid_deciding {
    bid_word *slot;
    uint64_t word;
    int own;
    uint32_t tag;   /* the key's, for a new word */
    uint64_t place; /* the unit of the slot's own place, if that may be claimed; else 0 */
};

/* ---- deciding.c */
void bid_deciding_find(const struct bid_table *table, const struct bid_array *array, uint64_t key,
                       struct bid_deciding *at);
/* Whether the key has a slot in the array, which may be NULL. */
int bid_has_slot(const struct bid_table *table, const struct bid_array *array, uint64_t key);

/* ---- record.c */
enum bid_taker {
    BID_TAKE_UPDATE, /* an insert or replace */
    BID_TAKE_COPY,   /* for a resize, which has units set aside for it */
    BID_TAKE_REMOVE, /* a copy that a remove needs, for which a few more are set aside */
};
/* Takes a record for a new word of this slot: its place, or one elsewhere. Returns BID_OK and its unit in *index, or
 * BID_STEP_AGAIN, BID_STEP_NO_ROOM, BID_E_WOULD_ALLOCATE, BID_E_NO_MEMORY, BID_E_MLOCK; *index means nothing then. */
int bid_record_take(struct bid_table *table, struct bid_array *array, struct bid_deciding *at, enum bid_taker taker,
                    int may_allocate, uint64_t *index);
/* Makes at least the units before this one present. BID_OK, BID_E_NO_MEMORY or BID_E_MLOCK. */
int bid_record_ready(struct bid_table *table, struct bid_array *array, uint64_t end);

/* ---- array.c */
struct bid_array_plan {
    uint32_t size;
    uint32_t reseeds;
    uint64_t seed;
    uint64_t copies;   /* units set aside for the records to be copied */
    uint64_t at_once;  /* units elsewhere that are populated when the array is made */
    uint64_t early;    /* records that updates may take before the array is the head */
    uint64_t capacity; /* units elsewhere in all */
};
/* Maps and populates. The descriptor is the caller's alone (BUILDING) until it publishes it. */
int bid_array_make(struct bid_table *table, const struct bid_array_plan *plan, struct bid_array **array);
/* The bytes that an array of this plan takes at first. */
uint64_t bid_plan_bytes(const struct bid_array_plan *plan);
/* The bytes that an array takes by now. */
uint64_t bid_array_bytes(const struct bid_array *array);
void bid_array_free(struct bid_table *table, struct bid_array *array);

static inline uint64_t bid_array_slots(const struct bid_array *array)
{
    return array->buckets * BID_BUCKET_SLOTS;
}

/* ---- resize.c: only where allocation is allowed */
#define BID_ENTRIES_MAX (1ull << 32)
#ifndef BID_SIZE_START
#define BID_SIZE_START 8 /* 2,048 slots, and no array shrinks below by itself; the least has 128, which fill a page */
#endif
#define BID_SIZE_MAX 52 /* 2^30 buckets */
_Static_assert(1ull << 30 < (1ull << BID_INDEX_BITS) / (BID_BUCKET_UNITS + 3ull * (BID_BUCKET_SLOTS * 2 + 1)),
               "every unit of record of the largest array has an index");
#define BID_WAITING_FOR_TWICE 16 /* for so many retired arrays that wait, the least size is doubled */
#ifndef BID_EARLY_SHARE
#define BID_EARLY_SHARE 16 /* of an array that is not the head yet, updates may take one in so many slots */
#endif
void bid_plan_records(const struct bid_table *table, uint64_t live, uint64_t reserved, struct bid_array_plan *plan);
enum bid_need {
    BID_NEED_SLOT,    /* a key's probe sequence is full */
    BID_NEED_ROOM,    /* too few EMPTY slots or records are left, or too many */
    BID_NEED_SHRINK,  /* bid_shrink() */
    BID_NEED_RESERVE, /* bid_reserve() */
};
/* Gives the head array a future, or finds that it has one. BID_OK also if it is not head any more. `wanted`: the
 * entries that BID_NEED_RESERVE asks for. */
int bid_resize_begin(struct bid_table *table, struct bid_array *array, enum bid_need need, uint64_t wanted);
/* BID_OK when `array` is not the head any more. */
int bid_resize_complete(struct bid_table *table, struct bid_array *array);
/* After an update: begins a resize early, so that nobody runs into a full probe sequence. A failure is no error. */
void bid_resize_consider(struct bid_table *table, struct bid_array *array);
uint32_t bid_size_for_room(uint64_t entries);

/* ---- move.c: the resize itself */
/* Sets LEFT in the head word, if the array is the head. The caller has seen or given its future, and freezes nothing of
 * it before this. */
void bid_leave(struct bid_table *table, const struct bid_array *array);
/* Seals the key in `array` and copies its live record to the future array. */
int bid_migrate(struct bid_table *table, struct bid_array *array, struct bid_array *future, uint64_t key,
                enum bid_taker taker, int may_allocate);
/* Does one chunk of the resize, and moves the head when all are done. */
int bid_help(struct bid_table *table, struct bid_array *array, struct bid_array *future);

/* ---- reclaim.c */
/* Gives arrays that the head has left their epoch. */
void bid_retire(struct bid_table *table);
/* Whether a status says that freeing memory may help, and whether some could be freed. Outside of a pin. */
int bid_lacks_memory(int status);
int bid_reclaim_some(struct bid_table *table);
uint64_t bid_retired_bytes(const struct bid_table *table, unsigned *arrays);
unsigned bid_retired_arrays(const struct bid_table *table);

/* ---- orphan.c */
/* In the child of a fork, once no pin from before that is left: frees the arrays of which a thread that it does not
 * have was making, freeing or giving up one. */
void bid_orphans_take_back(struct bid_table *table);

#endif
