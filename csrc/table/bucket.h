/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The one read of a bucket, which lookups and updates share: which slots have a tag, and which are EMPTY, without a
 * branch on each. Tags are random, so a branch on each slot would be mispredicted, and a processor that waits for a
 * bucket from memory would stop looking ahead to the next lookup.
 *
 * What the read says of a slot that is not EMPTY holds for good. What it says of the first EMPTY slot held at one
 * moment. At that moment no key that had come to this bucket in its probe sequence had a slot behind it, because a key
 * claims the first EMPTY slot of its sequence. The order in which the slots are read makes no difference to either. A
 * word from which the caller goes on is read again (P).
 *
 * With SSE2, eight words take four loads of 16 bytes. Each half of such an aligned load is one access (Intel SDM vol.
 * 3, 9.1.1; AMD APM vol. 2, 7.3.2). Elsewhere, in a kernel (where vector registers are not to be touched), for a model
 * checker and under ThreadSanitizer it is eight C11 loads; -DBID_SCALAR asks for these.
 */
#ifndef BID_BUCKET_H
#define BID_BUCKET_H

#include "platform.h"
#include "slot.h"

/* Sets of slots: BID_SLOT_BITS bits stand for each, which are all set or none. */
struct bid_slots {
    uint32_t tagged; /* have the tag */
    uint32_t empty;
};

#if defined(__SSE2__) && BID_BUCKET_SLOTS == 8 && !defined(BID_SCALAR) && !defined(BID_PLATFORM_MODEL) &&              \
    !defined(__SANITIZE_THREAD__)

#define BID_SLOT_BITS 2

typedef int16_t bid_tags __attribute__((vector_size(16))); /* eight, in the order of their slots */
typedef int32_t bid_halves
    __attribute__((vector_size(16))); /* upper halves of four words; the tag is their upper half */
typedef float bid_pair __attribute__((vector_size(16), may_alias)); /* two words, in the type that SHUFPS has them */

static inline uint32_t bid_slots_signs(bid_tags tags)
{
    typedef char bytes __attribute__((vector_size(16)));
    return (uint32_t)__builtin_ia32_pmovmskb128((bytes)(tags >> 15));
}

static inline struct bid_slots bid_bucket_read(bid_word *bucket, uint32_t tag)
{
    const volatile bid_pair *pairs = (const volatile bid_pair *)bucket;
    bid_pair a = pairs[0], b = pairs[1], c = pairs[2], d = pairs[3];
    bid_halves first = (bid_halves)__builtin_ia32_shufps(a, b, 0xdd),
               second = (bid_halves)__builtin_ia32_shufps(c, d, 0xdd);
    bid_tags tags = __builtin_ia32_packssdw128(first >> 16, second >> 16);
    int16_t one = (int16_t)tag;
    return (struct bid_slots){
        .tagged = bid_slots_signs(tags == (bid_tags){one, one, one, one, one, one, one, one}),
        .empty = bid_slots_signs(tags) ^ 0xffffu,
    };
}

#else

#define BID_SLOT_BITS 1

static inline struct bid_slots bid_bucket_read(bid_word *bucket, uint32_t tag)
{
    struct bid_slots read = {0, 0};
#ifdef __x86_64__ /* a kernel; elsewhere it would cost more stack than a lookup may take */
#pragma GCC unroll 8
#endif
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_load(&bucket[i], BID_RELAXED);
        read.tagged |= (uint32_t)(word >> BID_TAG_SHIFT == tag) << i;
        read.empty |= (uint32_t)bid_word_is_empty(word) << i;
    }
    return read;
}

#endif

/* The words of a bucket, and with them the lines of its places: the record is nearly always in one of these. */
static inline __attribute__((always_inline)) bid_word *bid_bucket_fetch(char *base, uint64_t number)
{
    bid_word *bucket = bid_bucket(base, number);
#pragma GCC unroll 4
    for (unsigned line = 64; line < BID_BUCKET_BYTES; line += 64)
        bid_platform_prefetch((char *)bucket + line);
    return bucket;
}

static inline int bid_slots_have(uint32_t slots, unsigned slot)
{
    return slots >> slot * BID_SLOT_BITS & 1;
}

/* The first slot of a set that is not empty. */
static inline unsigned bid_first_slot(uint32_t slots)
{
    return (unsigned)__builtin_ctz(slots) / BID_SLOT_BITS;
}

static inline bid_word *bid_first_word(bid_word *bucket, uint32_t slots)
{
    return (bid_word *)((char *)bucket + (unsigned)__builtin_ctz(slots) * (sizeof *bucket / BID_SLOT_BITS));
}

#endif
