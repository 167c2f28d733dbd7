/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bid_lookup() and bid_remove() for BPF programs, over a table in a region (bid/bpf.h). This file is all of csrc/bpf
 * that knows how a table is laid out. It has the layout from the table's own headers, so a field that moves moves here,
 * too; bid_bpf_vectors in tests compares every answer with the C form's.
 *
 * The region is an array map whose elements are cache lines. An address in it, such as the table's head, is one of the
 * process that made it; the region's header has the base of these. What lies outside of the region is no element of the
 * map, or another one of it: a damaged table gives an error or a wrong answer, and no fault.
 *
 * Progress: wait-free, at most two probe sequences. No lock, and no helper but the address of an element, which the
 * verifier turns into a few instructions.
 * Protection: none is needed. A BPF program runs inside a section of RCU, and whoever frees memory of the table waits
 * for a grace period of RCU.
 * Ordering: (P), (F) and (H) of csrc/README.md are address dependencies here: each load's result is the address of the
 * next. bid_bpf_order() stands where two loads have no such dependency.
 */
#ifndef BID_LOOKUP_BPF_H
#define BID_LOOKUP_BPF_H

#include "kernel.bpf.h"

#include "bid/bpf.h"

#include "hash.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* the loader gives the program a region in this map's place: bid_bpf_region_fd() */
    __uint(key_size, sizeof(u32));
    __uint(value_size, BID_BPF_LINE);
} bid_region SEC(".maps");

#define BID_BPF_ANY (1ull << 32) /* a generation that none is */

/* Loads before it come before loads after it. A processor that reorders loads needs a barrier, and BPF has one only in
 * its atomic instructions. */
static __always_inline void bid_bpf_order(void)
{
#ifdef bpf_target_x86
    asm volatile("" ::: "memory");
#else
    u64 nothing = 0;
    __sync_fetch_and_add(&nothing, 1);
#endif
}

#define BID_LOAD64(line, offset) (*(volatile u64 *)((line) + (offset)))
#define BID_LOAD32(line, offset) (*(volatile u32 *)((line) + (offset)))

#define BID_OF_REGION(field) offsetof(struct bid_region, field)
_Static_assert(BID_OF_REGION(tables) + 2 * sizeof(u64) <= BID_BPF_LINE, "the header's first line has two tables");

/* The cache line at an offset of the region; NULL: there is none. */
static __always_inline char *bid_line(u64 offset)
{
    u32 index = offset / BID_BPF_LINE;
    return bpf_map_lookup_elem(&bid_region, &index);
}

/* What to subtract from an address of the updating process. */
static __always_inline u64 bid_base(void)
{
    char *header = bid_line(0);
    return header ? BID_LOAD64(header, BID_OF_REGION(address)) : 0;
}

/* A table's offset in the region; 0: there is none. */
static __always_inline u64 bid_table_at(u32 number)
{
    char *header = bid_line(0);
    return header && number < 2 ? BID_LOAD64(header, BID_OF_REGION(tables) + (number & 1) * sizeof(u64)) : 0;
}

#define BID_OF_TABLE(field) offsetof(struct bid_table, field)
#define BID_OF_ARRAY(field) offsetof(struct bid_array, field)
_Static_assert(BID_OF_TABLE(head) == 0 && BID_OF_TABLE(seed) < BID_BPF_LINE, "the table's first line has both");
_Static_assert(BID_OF_ARRAY(word) == 0 && BID_OF_ARRAY(future) < BID_BPF_LINE, "the descriptor's first line has all");
_Static_assert(sizeof(struct bid_array) % BID_BPF_LINE == 0 && BID_OF_TABLE(arrays) % BID_BPF_LINE == 0,
               "every descriptor begins with a line");
_Static_assert(BID_EMPTY == 0, "EMPTY is what is below 1");
_Static_assert(BID_BUCKET_SLOTS * sizeof(u64) == BID_BPF_LINE && BID_BUCKET_BYTES % BID_BPF_LINE == 0,
               "the words of a bucket are one line");
_Static_assert(BID_RECORD_BYTES * 2 == BID_BPF_LINE && BID_RECORD_ID == 12,
               "the first unit of a record lies in a line");

/* An array as a reader has it. */
struct bid_bpf_array {
    u64 base; /* offset in the region */
    u64 buckets, seed;
    u64 future; /* as the field of the descriptor: 0, or a head word */
};

/* A key's slot in one array. */
struct bid_bpf_found {
    u64 record; /* offset in the region; 0: no slot that was read is the key's. Offset 0 is the region's header */
    u64 word;   /* of the slot; without a record BID_BPF_END or BID_BPF_GOES_ON */
    u64 slot;   /* offset in the region */
};
#define BID_BPF_END 0     /* an EMPTY slot was there: the key has none, here and further on */
#define BID_BPF_GOES_ON 1 /* the next bucket of the probe sequence may have one */

/* The array of a head word, by its descriptor. */
static __always_inline int bid_bpf_array(u64 table, u64 head, struct bid_bpf_array *array)
{
    char *line = bid_line(table + BID_OF_TABLE(arrays) + bid_head_number(head) * sizeof(struct bid_array));
    if (!line)
        return BID_BPF_E_REGION;
    array->base = BID_LOAD64(line, BID_OF_ARRAY(base)) - bid_base();
    array->buckets = BID_LOAD64(line, BID_OF_ARRAY(buckets));
    array->seed = BID_LOAD64(line, BID_OF_ARRAY(seed));
    array->future = BID_LOAD64(line, BID_OF_ARRAY(future));
    return BID_OK;
}

/* Whether a slot of a bucket is EMPTY. Computed without a branch: the verifier follows both ways of each. */
static __always_inline u64 bid_bpf_has_empty(const char *line)
{
    u64 empty = 0;
    for (u32 i = 0; i < BID_BUCKET_SLOTS; i++)
        empty |= ((BID_LOAD64(line, i * sizeof(u64)) & BID_STATE_MASK) - 1) >> 63;
    return empty;
}

/* One bucket, as bid_bucket_search(). Words are read again for those that are EMPTY, which makes no difference: a slot
 * that is EMPTY then was so when its tag was compared. */
__noinline int bid_bpf_bucket(u64 base, u64 number, u32 tag, u64 key, struct bid_bpf_found *out)
{
    u64 bucket = base + number * BID_BUCKET_BYTES;
    char *line = bid_line(bucket);
    if (!out || !line)
        return BID_BPF_E_REGION;
    for (u32 i = 0; i < BID_BUCKET_SLOTS; i++) {
        u64 word = BID_LOAD64(line, i * sizeof(u64));
        if (word >> BID_TAG_SHIFT != tag)
            continue;
        u64 at = base + bid_word_index(word) * BID_RECORD_BYTES;
        char *record = bid_line(at);
        if (!record)
            return BID_BPF_E_REGION;
        if (BID_LOAD64(record, at & BID_RECORD_BYTES) != key)
            continue;
        out->record = at;
        out->word = word;
        out->slot = bucket + i * sizeof(u64);
        return BID_OK;
    }
    out->record = 0;
    out->word = bid_bpf_has_empty(line) ^ BID_BPF_GOES_ON;
    return BID_OK;
}

/* A whole probe sequence, as bid_probe(). */
__noinline int bid_bpf_probe(const struct bid_bpf_array *array, u64 key, struct bid_bpf_found *out)
{
    if (!array || !out)
        return BID_BPF_E_REGION;
    u64 buckets = array->buckets, mixed = bid_mix(key, array->seed), step = bid_step(mixed, buckets);
    struct bid_sequence at = bid_sequence_mixed(mixed, buckets);
    for (u32 i = 0; i < BID_SEQUENCE_BUCKETS; i++) {
        int status = bid_bpf_bucket(array->base, at.bucket, at.tag, key, out);
        if (status < 0 || out->record || out->word == BID_BPF_END)
            return status;
        at.bucket = bid_bucket_next(at.bucket, step, buckets);
    }
    return BID_OK;
}

/* As bid_find(), in a resize too: the key's slot in the head array or in its future one. */
__noinline int bid_bpf_find_general(u64 table, u64 key, struct bid_bpf_found *out)
{
    struct bid_bpf_array head = {}, future = {};
    struct bid_bpf_found other = {};
    char *line = bid_line(table);
    if (!out || !line || bid_bpf_array(table, BID_LOAD64(line, BID_OF_TABLE(head)), &head) < 0)
        return BID_BPF_E_REGION;
    bid_bpf_order(); /* the future, then any slot */
    int status = bid_bpf_probe(&head, key, out);
    if (status < 0 || !head.future || (out->record && !(out->word & BID_FROZEN)))
        return status;
    bid_bpf_order(); /* the head's slot, then the future array's */
    if (bid_bpf_array(table, head.future, &future) < 0)
        return BID_BPF_E_REGION;
    status = bid_bpf_probe(&future, key, &other);
    if (other.record)
        *out = other;
    return status;
}

/* The same, quick where no resize is under way and the home bucket says all, as in bid_lookup_simple(): it waits for
 * two lines one after the other. */
static __always_inline int bid_bpf_find(u32 number, u64 key, struct bid_bpf_found *out)
{
    char *header = bid_line(0);
    if (!header || number > 1)
        return BID_BPF_E_REGION;
    u64 base = BID_LOAD64(header, BID_OF_REGION(address));
    u64 table = BID_LOAD64(header, BID_OF_REGION(tables) + (number & 1) * sizeof(u64));
    char *line = bid_line(table);
    out->record = out->word = 0;
    if (!line || !base)
        return BID_BPF_E_REGION;
    if (!table)
        return BID_OK;
    u64 head = BID_LOAD64(line, BID_OF_TABLE(head));
    if (head & BID_HEAD_GENERAL)
        return bid_bpf_find_general(table, key, out);
    bid_bpf_order(); /* the head, then the seed: see bid_seed_adopt() */
    u64 mixed = bid_mix(key, BID_LOAD64(line, BID_OF_TABLE(seed)));
    struct bid_sequence home = bid_sequence_mixed(mixed, bid_head_buckets(head));
    int status = bid_bpf_bucket((u64)bid_head_base(head) - base, home.bucket, home.tag, key, out);
    if (status < 0 || out->record || out->word == BID_BPF_END)
        return status;
    return bid_bpf_find_general(table, key, out);
}

/* An ID of more than 20 bytes, which may run on into the next line. */
__noinline int bid_bpf_copy_long(u64 record, u32 length, struct bid_build_id *id)
{
    if (!id)
        return BID_BPF_E_REGION;
    u32 *to = (u32 *)id->bytes;
    for (u32 i = 0; i < BID_ID_MAX / 4; i++) {
        if (i * 4 >= length)
            break;
        u64 at = record + BID_RECORD_ID + i * 4;
        char *line = bid_line(at);
        if (!line)
            return BID_BPF_E_REGION;
        to[i] = BID_LOAD32(line, at & (BID_BPF_LINE - 4));
    }
    return BID_OK;
}

static __always_inline int bid_bpf_answer(u32 number, u64 key, u64 generation, struct bid_build_id *id)
{
    struct bid_bpf_found found = {};
    int status = bid_bpf_find(number, key, &found);
    if (!id || status < 0)
        return BID_BPF_E_REGION;
    if (!found.record || (found.word & BID_STATE_MASK) != BID_LIVE)
        return BID_ABSENT;
    char *line = bid_line(found.record);
    if (!line)
        return BID_BPF_E_REGION;
    u32 is = BID_LOAD32(line, (found.record & BID_RECORD_BYTES) + offsetof(struct bid_record, generation));
    if (generation != BID_BPF_ANY && generation != is)
        return BID_STALE;
    id->generation = is;
    id->length = (found.word >> BID_LENGTH_SHIFT) & BID_LENGTH_MASK;
    if (!id->length)
        return BID_NO_BUILD_ID;
    if (id->length > BID_ID_NARROW)
        return bid_bpf_copy_long(found.record, id->length, id);
    for (u32 i = 0; i < BID_ID_NARROW / 4; i++)
        ((u32 *)id->bytes)[i] = BID_LOAD32(line, (found.record & BID_RECORD_BYTES) + BID_RECORD_ID + i * 4);
    return BID_OK;
}

/* As bid_lookup_generation(). */
__noinline int bid_bpf_lookup_in(u32 number, u64 key, u64 generation, struct bid_build_id *id)
{
    return bid_bpf_answer(number, key, generation, id);
}

/* As bid_lookup(), in table 0. */
__noinline int bid_bpf_lookup(u64 key, struct bid_build_id *id)
{
    return bid_bpf_answer(0, key, BID_BPF_ANY, id);
}

/* As bid_remove_generation() in table 0, by one compare-and-swap, and without a copy. Where the key's
 * word is frozen by a resize and not copied yet, or has just changed, it is BID_BPF_E_BUSY: then bid_remove() by the
 * process has to do it. */
__noinline int bid_bpf_remove(u64 key, u64 generation)
{
    struct bid_bpf_found found = {};
    int status = bid_bpf_find(0, key, &found);
    if (status < 0)
        return status;
    if (!found.record || (found.word & BID_STATE_MASK) != BID_LIVE)
        return BID_ABSENT;
    char *record = bid_line(found.record), *slot = bid_line(found.slot);
    char *count = bid_line(bid_table_at(0) + offsetof(struct bid_table, count));
    if (!record || !slot || !count)
        return BID_BPF_E_REGION;
    u32 is = BID_LOAD32(record, (found.record & BID_RECORD_BYTES) + offsetof(struct bid_record, generation));
    if (generation != BID_BPF_ANY && generation != is)
        return BID_STALE;
    if (found.word & BID_FROZEN)
        return BID_BPF_E_BUSY;
    u64 word = found.word, after = bid_word_tombstone(word);
    u64 *at = (u64 *)(slot + (found.slot & (BID_BPF_LINE - sizeof(u64))));
    if (__sync_val_compare_and_swap(at, word, after) != word)
        return BID_BPF_E_BUSY;
    __sync_fetch_and_add((u64 *)(count + offsetof(struct bid_table, count) % BID_BPF_LINE), (u64)-1);
    return BID_OK;
}

#endif
