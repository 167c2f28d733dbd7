/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table and its bucket arrays, as lookups and updates see them. Nothing here allocates.
 *
 * A table has a head array; while it is being resized that array has a future array. Descriptors of arrays are part
 * of the table and are never unmapped, so that they may be read without a pin; what they point to may not.
 *
 * Capacity: a resize can always be finished. Let A be the head, F its future, or an array that is being built to be
 * that.
 *   live slots of A  <=  A.live_limit  <=  slots of F / 2                      what may have to be copied
 *   record units of A's live slots  <=  F.record_copies                        their records, which nobody else gets
 *   record units that updates take in F before it is the head  <=  F.early_limit, for a sixteenth of F's slots
 * So at most 9/16 of F is claimed while it is being filled. bid_audit() checks it, and assertions where it is made.
 */
#ifndef BID_TABLE_H
#define BID_TABLE_H

#include "bid/table.h"

#include "slot.h"

#ifndef BID_PATH_BUCKETS
#define BID_PATH_BUCKETS (BID_PATH_SLOTS / BID_BUCKET_SLOTS)
#endif
#ifndef BID_ARRAYS
#define BID_ARRAYS (BID_RETIRED_MAX + 3) /* the retired, the head, its future, and one being built to replace it */
#endif

/* Sizes of arrays are uint64_t here, and size_t where memory is mapped; and one slot word is one access. */
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "pybuildid needs a 64-bit system");

#define BID_LINE _Alignas(64)

#ifndef BID_CHUNK_BUCKETS
#define BID_CHUNK_BUCKETS 4 /* of a resize: what one update helps with */
#endif

/*
 * The life of a descriptor, as one word: a state and a number that makes the word unique, so that a compare-and-swap
 * from a word seen earlier fails if the descriptor has lived on.
 *   FREE -> BUILDING (its maker's alone) -> IN USE, number of birth -> RETIRED, epoch -> FREEING (one thread's alone)
 *   -> FREE
 * BUILDING, IN USE and FREEING also say how many forks lay behind the process: see orphan.c. What is FREE has no
 * memory.
 */
enum bid_life { BID_LIFE_FREE, BID_LIFE_BUILDING, BID_LIFE_IN_USE, BID_LIFE_RETIRED, BID_LIFE_FREEING };
#define BID_LIFE_BITS 3
#define BID_LIFE_MASK 7ull
#define BID_LIFE_FORKS_SHIFT 40

static inline uint64_t bid_life_word(uint64_t forks, uint64_t number, enum bid_life state)
{
    uint64_t mask = (1ull << BID_LIFE_FORKS_SHIFT) - 1;
    return forks << BID_LIFE_FORKS_SHIFT | (number << BID_LIFE_BITS & mask) | state;
}

/* Whether a life that is neither FREE nor RETIRED is of the process that has so many forks behind it. */
static inline int bid_life_is_of(uint64_t life, uint64_t forks)
{
    return (life ^ forks << BID_LIFE_FORKS_SHIFT) >> BID_LIFE_FORKS_SHIFT == 0;
}

struct bid_array {
    /* Read by lookups; constant from publication (F, H) until the grace period is over. */
    BID_LINE bid_word *slots; /* buckets << 3 words, each bucket on a line of its own */
    struct bid_record *records;
    uint64_t seed;
    uint64_t bucket_mask;
    uint32_t home_shift;                /* 64 - log2(buckets): the mixing hash's top bits are the home bucket */
    uint32_t path_buckets;              /* min(buckets, BID_PATH_BUCKETS) */
    _Atomic(struct bid_array *) future; /* NULL, then set once */
    bid_word moved;                     /* keys with a home bucket below are likely to be in the future array: a hint */

    /* Constant likewise; read by updates only. */
    BID_LINE uint64_t record_capacity; /* in units */
    uint64_t record_copies;            /* units set aside for the records that the resize copies into this array */
    uint64_t record_step;              /* units populated at once */
    uint64_t early_limit;              /* units that updates may take before this is the head: see record.c */
    uint64_t chunks;                   /* of the buckets, for helpers of a resize */
    bid_word *done;                    /* a bit for each chunk: frozen and copied */
    void *mapping;
    uint64_t mapping_bytes;
    uint32_t reseeds; /* how many reseeds in a row made this array */

    /* Written by updates. */
    BID_LINE bid_word record_next; /* the first unit that nobody has taken */
    bid_word record_ready;         /* units populated */
    bid_word early;                /* units that updates took before this was the head */
    bid_word claimed;              /* slots that are not EMPTY */
    bid_word live_limit;           /* entries at which inserts go to the future array: see bid_resize_build() */
    bid_word consider;             /* claimed slots from which on a resize is begun early: more once that failed */
    BID_LINE bid_word cursor;      /* chunks handed out to helpers */
    bid_word done_words;           /* words of `done` known to be full */
    bid_word life;                 /* enum bid_life and a number */
    bid_word bytes;                /* of slots and bitmap; read also of an array that is being freed */
};

struct bid_table {
    BID_LINE _Atomic(struct bid_array *) head;
    struct bid_pin_slot *simple_pins; /* for lookups in simple form; NULL where pins need a fence */
    struct bid_pins *pins;

    BID_LINE bid_word count; /* live entries, and those on their way in */

    BID_LINE bid_word births; /* numbers for bid_life */
    bid_word builder;         /* birth number of the array that somebody is building a future for: a hint */
    bid_word floor_entries;   /* do not shrink below room for that many */
    bid_word largest;         /* bytes of the largest array so far */
    bid_word resizes;         /* heads moved */
    bid_word frees;           /* arrays freed; whoever lacked memory looks whether it has changed */
    bid_word waiting;         /* whether retired arrays may wait to be freed */
    bid_word ticks;           /* updates since something waits */
    bid_word forks;           /* those of the process after which orphans were taken back */
    bid_word causes[BID_RESIZE_CAUSES];
    struct bid_options options; /* with the defaults in place of zeros */
    uint32_t record_units;      /* of every record, from options.id_size: 1 to 3 */

    struct bid_array arrays[BID_ARRAYS];
};

#endif
