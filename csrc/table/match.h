/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The eight slots of a bucket at once, without a branch on each.
 *
 * Tags are random, so a branch on each slot would be mispredicted, and a processor that waits for a bucket from memory
 * would stop looking ahead to the next lookup.
 *
 * With SSE2, eight words take four loads of 16 bytes. Each half of such an aligned load is one access (Intel SDM vol.
 * 3, 9.1.1; AMD APM vol. 2, 7.3.2), and loads are not reordered with others (SDM 9.2.2, APM 7.2): an acquire load of
 * each slot. Elsewhere, in a kernel (where vector registers are not to be touched), for a model checker and under
 * ThreadSanitizer it is eight C11 loads; -DBID_SCALAR asks for these.
 */
#ifndef BID_MATCH_H
#define BID_MATCH_H

#include "slot.h"

/* A set of slots of a bucket: bit 2 * i + 1 stands for slot i. */
#define BID_LANES_ALL 0xaaaau

static inline unsigned bid_lane_slot(uint32_t lanes) /* the first slot of a set that is not empty */
{
    return (unsigned)__builtin_ctz(lanes) / 2;
}

/* What one read of each slot says. */
struct bid_lanes {
    uint32_t tag;   /* slots that have the tag of a pattern */
    uint32_t empty; /* EMPTY slots: the first of them at least */
};

#if defined(__SSE2__) && !defined(BID_SCALAR) && !defined(BID_PLATFORM_MODEL) && !defined(__SANITIZE_THREAD__)

typedef int16_t bid_tags __attribute__((vector_size(16))); /* eight, in the order of their slots */
typedef int32_t bid_halves
    __attribute__((vector_size(16))); /* upper halves of four words; the tag is their upper half */
typedef float bid_pair __attribute__((vector_size(16), may_alias)); /* two words, in the type that SHUFPS has them */

static inline bid_tags bid_tags_read(const bid_word *bucket)
{
    const volatile bid_pair *pairs = (const volatile bid_pair *)bucket; /* (P) pairs with every CAS of a slot */
    bid_pair a = pairs[0], b = pairs[1], c = pairs[2], d = pairs[3];
    bid_halves first = (bid_halves)__builtin_ia32_shufps(a, b, 0xdd),
               second = (bid_halves)__builtin_ia32_shufps(c, d, 0xdd);
    return __builtin_ia32_packssdw128(first >> 16, second >> 16);
}

/* Both bits of each lane. */
static inline uint32_t bid_lanes_signs(bid_tags tags)
{
    typedef char bytes __attribute__((vector_size(16)));
    return (uint32_t)__builtin_ia32_pmovmskb128((bytes)tags);
}

static inline uint32_t bid_lanes_equal(bid_tags tags, uint64_t pattern)
{
    int16_t tag = (int16_t)(pattern >> BID_TAG_SHIFT);
    return bid_lanes_signs(tags == (bid_tags){tag, tag, tag, tag, tag, tag, tag, tag});
}

static inline struct bid_lanes bid_lanes_read(const bid_word *bucket, uint64_t pattern)
{
    bid_tags tags = bid_tags_read(bucket);
    return (struct bid_lanes){
        .tag = bid_lanes_equal(tags, pattern) & BID_LANES_ALL,
        .empty = ~bid_lanes_signs(tags) & BID_LANES_ALL,
    };
}

/* The word, without the pattern, of a slot that has the pattern's tag; or something not below 1 << BID_TAG_SHIFT. */
static inline uint64_t bid_match(bid_word *bucket, uint64_t pattern)
{
    uint32_t lanes = bid_lanes_equal(bid_tags_read(bucket), pattern);
    if (__builtin_expect(!lanes, 0))
        return UINT64_MAX;
    uint64_t word = bid_load(&bucket[bid_lane_slot(lanes)], BID_P_ACQUIRE) ^ pattern; /* (P) */
    if (word >> BID_TAG_SHIFT)
        __builtin_unreachable(); /* a slot keeps its key, and so its tag */
    return word;
}

#else

static inline struct bid_lanes bid_lanes_read(bid_word *bucket, uint64_t pattern)
{
    struct bid_lanes lanes = {0, 0};
    for (unsigned i = 0; i < BID_BUCKET_SLOTS && !lanes.empty; i++) {
        uint64_t word = bid_load(&bucket[i], BID_RELAXED); /* what matters of it is read again (P) */
        lanes.tag |= (uint32_t)!((word ^ pattern) >> BID_TAG_SHIFT) << (2 * i + 1);
        lanes.empty |= (uint32_t)bid_word_is_empty(word) << (2 * i + 1);
    }
    return lanes;
}

/* A word xor-ed with the pattern is below 1 << BID_TAG_SHIFT if it has the tag: then the least of the eight is one. */
static inline uint64_t bid_match(bid_word *bucket, uint64_t pattern)
{
    uint64_t least = UINT64_MAX;
#pragma GCC unroll 8
    for (int i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE) ^ pattern; /* (P) */
        least = word < least ? word : least;
    }
    return least;
}

#endif

#endif
