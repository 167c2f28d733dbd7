/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Slot words, records, and the buckets that hold them.
 *
 *   63  62      48 47                10 9     8 7      1      0
 *   +---+---------+-------------------+-------+--------+--------+
 *   | 1 |   tag   |   record index    | state | length | FROZEN |
 *   +---+---------+-------------------+-------+--------+--------+
 *
 * States: EMPTY -> LIVE -> TOMBSTONE -> LIVE ... Invariants:
 *   1. A slot never returns to EMPTY and never changes its key: a tombstone keeps its record, which names the key.
 *   2. A FROZEN word never changes again.
 *   3. A record is written before the word that names it is published (P), and never after; its index is not used
 *      again in its array. Hence a word that is seen twice means the same thing twice: no ABA.
 *   4. Bit 63 is set in every word that is not EMPTY, so that no tag matches EMPTY.
 *   5. The place of a slot is written by one thread, once: by the one that set TAKEN in its EMPTY word. TAKEN means
 *      nothing to anybody else: such a word is EMPTY.
 *
 * A bucket is its slot words, then a place for the record of each of the first slots:
 *
 *   | 8 words, 64 bytes | 6 places of 32 bytes |        the bucket's lines are fetched together
 *
 * Positions count from the array's base in units of 32 bytes, for places in buckets and for records elsewhere alike.
 */
#ifndef BID_SLOT_H
#define BID_SLOT_H

#include "bid/table.h"
#include "bid_atomic.h"

#include <stddef.h>

#ifndef BID_BUCKET_SLOTS
#define BID_BUCKET_SLOTS 8 /* one cache line */
#endif
#ifndef BID_BUCKET_PLACES
#define BID_BUCKET_PLACES 6 /* three more */
#endif

#define BID_FROZEN 1ull
#define BID_LENGTH_SHIFT 1
#define BID_STATE_SHIFT 8
#define BID_STATE_MASK (3ull << BID_STATE_SHIFT)
#define BID_EMPTY (0ull << BID_STATE_SHIFT)
#define BID_LIVE (1ull << BID_STATE_SHIFT)
#define BID_TOMBSTONE (2ull << BID_STATE_SHIFT)
#define BID_INDEX_SHIFT 10
#define BID_INDEX_BITS 38
#define BID_TAG_SHIFT 48
#define BID_TAG_ONE (1ull << 63)
#define BID_LENGTH_MASK 127ull
#define BID_TAKEN (1ull << BID_INDEX_SHIFT) /* of an EMPTY word, which has no index */

#define BID_RECORD_BYTES 32
#define BID_RECORD_ID 12 /* where the ID begins in a record */

/* One unit; an ID of more than 20 bytes runs on into the next unit or two. Zero-padded to whole units. */
struct bid_record {
    uint64_t key;
    uint32_t generation;
    uint8_t id[BID_RECORD_BYTES - BID_RECORD_ID];
};

#define BID_WORDS_UNITS ((BID_BUCKET_SLOTS * sizeof(bid_word) + BID_RECORD_BYTES - 1) / BID_RECORD_BYTES)
#define BID_BUCKET_UNITS (BID_WORDS_UNITS + BID_BUCKET_PLACES)
#define BID_BUCKET_BYTES (BID_BUCKET_UNITS * BID_RECORD_BYTES)

_Static_assert(sizeof(struct bid_record) == BID_RECORD_BYTES, "the index of a slot word counts these");
_Static_assert(offsetof(struct bid_record, id) == BID_RECORD_ID, "where lookups copy an ID from");
_Static_assert(BID_ID_MAX <= BID_LENGTH_MASK, "every length has its place in a slot word");
_Static_assert(BID_FROZEN < 1ull << BID_LENGTH_SHIFT, "FROZEN lies below the length");
_Static_assert(BID_LENGTH_MASK << BID_LENGTH_SHIFT < 1ull << BID_STATE_SHIFT, "the length lies below the state");
_Static_assert(BID_STATE_MASK < 1ull << BID_INDEX_SHIFT, "the state lies below the index");
_Static_assert(BID_INDEX_SHIFT + BID_INDEX_BITS == BID_TAG_SHIFT, "the index lies below the tag");
_Static_assert(BID_TAG_SHIFT == 48 && BID_TAG_ONE >> 63 == 1, "the tag is the upper half of a word's upper half");

static inline unsigned bid_word_length(uint64_t word)
{
    return (word >> BID_LENGTH_SHIFT) & BID_LENGTH_MASK;
}

static inline uint64_t bid_word_index(uint64_t word)
{
    return word << (64 - BID_TAG_SHIFT) >> (64 - BID_TAG_SHIFT + BID_INDEX_SHIFT);
}

static inline int bid_word_is_live(uint64_t word)
{
    return (word & BID_STATE_MASK) == BID_LIVE;
}

static inline int bid_word_is_empty(uint64_t word)
{
    return (word & BID_STATE_MASK) == BID_EMPTY;
}

static inline uint64_t bid_word_live(uint32_t tag, uint64_t index, unsigned length)
{
    return (uint64_t)tag << BID_TAG_SHIFT | index << BID_INDEX_SHIFT | (uint64_t)length << BID_LENGTH_SHIFT | BID_LIVE;
}

static inline uint64_t bid_word_tombstone(uint64_t word)
{
    return (word & ~BID_STATE_MASK) | BID_TOMBSTONE;
}

/* Units of 32 bytes that a record with an ID of this length takes: 1 to 3. */
static inline unsigned bid_record_units(unsigned length)
{
    return (BID_RECORD_ID + length + BID_RECORD_BYTES - 1) / BID_RECORD_BYTES;
}

static inline bid_word *bid_bucket(char *base, uint64_t bucket)
{
    return (bid_word *)(base + bucket * BID_BUCKET_BYTES);
}

static inline struct bid_record *bid_record_at(char *base, uint64_t index)
{
    return (struct bid_record *)base + index;
}

/* The record that a word names. */
static inline struct bid_record *bid_record_of(char *base, uint64_t word)
{
    return bid_record_at(base, bid_word_index(word));
}

/* The place of a slot, if it has one for a record of so many units; else 0, where the first slot words are. Records of
 * two or three units have three places or two. */
static inline uint64_t bid_place_of(uint64_t bucket, unsigned slot, unsigned units)
{
    return (slot + 1) * units <= BID_BUCKET_PLACES ? bucket * BID_BUCKET_UNITS + BID_WORDS_UNITS + slot * units : 0;
}

#endif
