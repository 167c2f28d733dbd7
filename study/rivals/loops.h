/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The loops that are timed. They are made in each design's own file, where the compiler can see its lookup: so no
 * design pays for an indirect call that a caller of its own functions would not pay for. Each lookup copies the whole
 * ID out.
 */
#ifndef RIVAL_LOOPS_H
#define RIVAL_LOOPS_H

#include "rivals.h"

#include <string.h>

/* The first eight bytes of an ID that the compiler must take for read as a whole; 0 without one. */
static inline __attribute__((always_inline)) uint64_t rival_first(int status, const struct bid_build_id *id)
{
    uint64_t first;
    __asm__ volatile("" : : "r"(id) : "memory");
    memcpy(&first, id->bytes, sizeof first);
    return status == BID_OK ? first : 0;
}

/* Defines NAME_hits() and NAME_chain() by means of NAME_lookup(). */
#define RIVAL_LOOPS(name)                                                                                              \
    static uint64_t name##_hits(void *design, const uint64_t *keys, size_t n)                                          \
    {                                                                                                                  \
        uint64_t sum = 0;                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                                               \
            struct bid_build_id id;                                                                                    \
            sum += rival_first(name##_lookup(design, keys[i], &id, NULL), &id);                                        \
        }                                                                                                              \
        return sum;                                                                                                    \
    }                                                                                                                  \
    static uint64_t name##_chain(void *design, uint64_t key, size_t n)                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                               \
            struct bid_build_id id;                                                                                    \
            key = rival_first(name##_lookup(design, key, &id, NULL), &id);                                             \
        }                                                                                                              \
        return key;                                                                                                    \
    }

/* Defines NAME_into_arrays() in the same way. */
#define RIVAL_INTO_ARRAYS(name)                                                                                        \
    static size_t name##_into_arrays(void *design, const uint64_t *keys, size_t n, uint8_t *ids, uint8_t *lengths)     \
    {                                                                                                                  \
        size_t found = 0;                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                                               \
            struct bid_build_id id;                                                                                    \
            if (name##_lookup(design, keys[i], &id, NULL) != BID_OK)                                                   \
                continue;                                                                                              \
            memcpy(ids + i * BID_ID_NARROW, id.bytes, BID_ID_NARROW);                                                  \
            lengths[i] = id.length;                                                                                    \
            found++;                                                                                                   \
        }                                                                                                              \
        return found;                                                                                                  \
    }

#endif
