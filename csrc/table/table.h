/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table and its bucket arrays, as lookups and updates see them. Nothing here allocates.
 *
 * A table has a head array; while it is being resized that array has a future array. Descriptors of arrays are part
 * of the table and are never unmapped, so that they may be read without a pin; what they point to may not.
 *
 * The head word has all that a lookup needs of the head array:
 *
 *   63                    20 19        13 12         8     7      6     5     0
 *   +-----------------------+------------+------------+----------+------+-------+
 *   | base of the array / 4 K | descriptor |  mantissa  | RESEEDED | LEFT | shift |     buckets = mantissa << shift
 *   +-----------------------+------------+------------+----------+------+-------+
 *
 *   LEFT: the array has a future. The thread that gave it one sets LEFT, and so does every thread that finds a future,
 *   before it freezes any word of the array. So a head word without LEFT says that nothing of the array was frozen when
 *   the word was read.
 *   RESEEDED: the array has another seed than the table, until bid_seed_adopt() gives that seed to the table.
 * A lookup that reads either takes the general form. The word changes under a pin only, so it does not come back while
 * another thread compares it. `future` has the same form. A reader that sees the arrays at another address than the
 * table's process translates the base in these two words, and no other address.
 *
 * Capacity: a resize can always be finished. Let A be the head, F its future, or an array that is being built to be
 * that.
 *   live slots of A  <=  A.live_limit  <=  9/16 of F's slots                   what may have to be copied
 *   record units of A's live slots  <=  F.record_copies                        their records, which nobody else gets
 *   records that updates take in F before it is the head  <=  F.early_limit, a sixteenth of F's slots
 * So at most 5/8 of F is claimed while it is being filled. bid_audit() checks it, and assertions where it is made.
 */
#ifndef BID_TABLE_H
#define BID_TABLE_H

#include "bid/table.h"

#include "slot.h"

#ifndef BID_SEQUENCE_BUCKETS
#define BID_SEQUENCE_BUCKETS (BID_SEQUENCE_SLOTS / BID_BUCKET_SLOTS)
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
    BID_LINE uint64_t word; /* what the head word is while this is the head, without LEFT and RESEEDED */
    char *base;             /* of the buckets, then of the records elsewhere */
    uint64_t buckets;
    uint64_t seed;
    bid_word future; /* 0, then set once: the word of the array that takes the place of this one */
    bid_word moved;  /* keys with a home bucket below are likely to be in the future array: a hint */

    /* Constant likewise; read by updates only. */
    BID_LINE uint64_t record_first; /* the first unit elsewhere, after the buckets: those set aside for removes */
    uint64_t record_capacity;       /* the end of the units */
    uint64_t record_copies;         /* units set aside for the records that the resize copies into this array */
    uint64_t record_step;           /* units populated at once */
    uint64_t early_limit;           /* records that updates may take before this is the head: see record.c */
    uint64_t chunks;                /* of the buckets, for helpers of a resize */
    bid_word *done;                 /* a bit for each chunk: frozen and copied */
    void *mapping;
    uint64_t mapping_bytes;
    uint32_t size;    /* see bid_size_buckets() */
    uint32_t reseeds; /* how many reseeds in a row made this array */

    /* Written by updates. */
    BID_LINE bid_word record_next; /* the first unit elsewhere that nobody has taken */
    bid_word record_ready;         /* the end of the units that are populated; the buckets come first */
    bid_word aside;                /* records set aside for removes, that were taken */
    bid_word early;                /* records that updates took before this was the head */
    bid_word claimed;              /* slots that are not EMPTY */
    bid_word live_limit;           /* entries at which inserts go to the future array: see bid_resize_build() */
    bid_word consider;             /* claimed slots from which on a resize is begun early: more once that failed */
    BID_LINE bid_word cursor;      /* chunks handed out to helpers */
    bid_word done_words;           /* words of `done` known to be full */
    bid_word life;                 /* enum bid_life and a number */
    bid_word bytes; /* of the bitmap. Like record_ready read also while the array is freed, and made anew */
};

/* The grace periods of a table's readers, as numbers that only grow. Neither function waits. */
struct bid_flavor {
    /* Returns the number of what no reader that begins from now on can reach. */
    uint64_t (*start)(struct bid_table *table);
    /* Returns a number: no reader is left that may be in what has a lower one. A fence in it comes after all that the
     * caller has read so far: see bid_reclaim(). */
    uint64_t (*over)(struct bid_table *table);
    int shared; /* others read the table as well, and a fork does not copy it */
};

struct bid_table {
    /* All that a lookup needs of the table. */
    BID_LINE bid_word head;
    bid_word seed;                    /* of each array that is not RESEEDED */
    struct bid_pin_slot *simple_pins; /* for lookups in simple form; NULL where pins need a fence */
    struct bid_pins *pins;

    BID_LINE bid_word count; /* live entries, and those on their way in or out */

    BID_LINE bid_word births; /* numbers for bid_life */
    bid_word builder;         /* birth number of the array that somebody is building a future for: a hint */
    bid_word floor_entries;   /* do not shrink below room for that many: see bid_floor() */
    bid_word largest;         /* bytes of the largest array so far */
    bid_word resizes;         /* heads moved */
    bid_word frees;           /* arrays freed; whoever lacked memory looks whether it has changed */
    bid_word settled;         /* of the resizes, those after which nothing was left to free: see bid_waits() */
    bid_word ticks;           /* updates since something waits */
    bid_word forks;           /* those of the process after which orphans were taken back */
    bid_word causes[BID_RESIZE_CAUSES];
    bid_word observed; /* of bid_flavor_shared: the number of the last grace period that is over */
    const struct bid_flavor *flavor;
    struct bid_allocator allocator;
    struct bid_options options; /* with the defaults in place of zeros */
    uint32_t record_units;      /* of every record, from options.id_size: 1 to 3 */

    struct bid_array arrays[BID_ARRAYS];
};

/* -------------------------------------------------------------------------------------------- head words -- */

#define BID_HEAD_SHIFT_MASK 63ull
#define BID_HEAD_LEFT (1ull << 6)
#define BID_HEAD_RESEEDED (1ull << 7)
#define BID_HEAD_GENERAL (BID_HEAD_LEFT | BID_HEAD_RESEEDED) /* a lookup takes the general form */
#define BID_HEAD_MANTISSA_SHIFT 8
#define BID_HEAD_MANTISSA_MASK 31ull
#define BID_HEAD_NUMBER_SHIFT 13
#define BID_HEAD_NUMBER_MASK 127ull
#define BID_HEAD_BASE_SHIFT 20
#define BID_BASE_SHIFT 12 /* an array begins with a page */

_Static_assert(BID_ARRAYS <= BID_HEAD_NUMBER_MASK + 1, "every descriptor has its number in a head word");

/* Sizes of arrays, in steps of about 1.4. Below BID_SIZE_START only the even ones are used: see hash.h. */
#ifndef BID_MANTISSA
#define BID_MANTISSA 16
#define BID_MANTISSA_ODD 23
#endif

static inline uint64_t bid_size_mantissa(uint32_t size)
{
    return size & 1 ? BID_MANTISSA_ODD : BID_MANTISSA;
}

static inline uint64_t bid_size_buckets(uint32_t size)
{
    return bid_size_mantissa(size) << size / 2;
}

static inline uint64_t bid_head_word(uint64_t base, uint64_t number, uint32_t size)
{
    return base >> BID_BASE_SHIFT << BID_HEAD_BASE_SHIFT | number << BID_HEAD_NUMBER_SHIFT |
           bid_size_mantissa(size) << BID_HEAD_MANTISSA_SHIFT | size / 2;
}

static inline uint64_t bid_head_buckets(uint64_t head)
{
    return (head >> BID_HEAD_MANTISSA_SHIFT & BID_HEAD_MANTISSA_MASK) << (head & BID_HEAD_SHIFT_MASK);
}

/* The shift right is one with a sign: addresses of a kernel have ones in front. */
#ifndef BID_MODEL_BASES
static inline char *bid_head_base(uint64_t head)
{
    return (char *)((uint64_t)((int64_t)head >> BID_HEAD_BASE_SHIFT) << BID_BASE_SHIFT);
}
#else
char *bid_head_base(uint64_t head);
#endif

static inline uint64_t bid_head_number(uint64_t head)
{
    return head >> BID_HEAD_NUMBER_SHIFT & BID_HEAD_NUMBER_MASK;
}

/* The array of a head word or of a future; NULL for 0. */
static inline struct bid_array *bid_array_of(const struct bid_table *table, uint64_t head)
{
    return head ? (struct bid_array *)&table->arrays[bid_head_number(head)] : NULL;
}

static inline struct bid_array *bid_head(const struct bid_table *table)
{
    return bid_array_of(table, bid_load(&table->head, BID_H_ACQUIRE)); /* (H) pairs with bid_resize_finish() */
}

static inline struct bid_array *bid_future(const struct bid_table *table, const struct bid_array *array)
{
    return bid_array_of(table, bid_load(&array->future, BID_F_ACQUIRE)); /* (F) pairs with bid_resize_build() */
}

/* Whether the array is the head: whoever goes on from that reads the head again (H). */
static inline int bid_is_head(const struct bid_table *table, const struct bid_array *array)
{
    return bid_array_of(table, bid_load(&table->head, BID_RELAXED)) == array;
}

/* Whether the array has a future: whoever goes there reads it again (F). */
static inline int bid_is_left(const struct bid_array *array)
{
    return bid_load(&array->future, BID_RELAXED) != 0;
}

#endif
