/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Times the operations of a design, for `python -m study bench`. One call is one sample; the caller pins its thread,
 * makes the designs take turns, and judges.
 *
 * Lookups and loads are timed by CLOCK_MONOTONIC in chunks of TIMING_CHUNK, with one look at the clock between two. A
 * chunk that took TIMING_INTERRUPTED times the median or more was interrupted by something else, and is left out.
 * Beside other threads nothing is left out, because the lookup may have waited for them. The first TIMING_WARM
 * operations, or those of TIMING_WARM_NS, are not timed. Updates have slow moments of their own (growing), so they are
 * timed as a whole, by the processor time of the thread. Every answer that is timed is checked: by a sum, or by the end
 * of a chain of lookups.
 *
 * The ID of an entry has 20 bytes and begins with a key, the next one on a cycle through all entries.
 *
 * Context: thread, for all functions here. They return one of enum timing_status.
 */
#ifndef BID_TIMING_H
#define BID_TIMING_H

#include "rivals.h"

#include <stdatomic.h>

#define TIMING_CHUNK 1024
#define TIMING_WARM (128 * TIMING_CHUNK)
#define TIMING_WARM_NS (50 * 1000 * 1000)
#define TIMING_INTERRUPTED 4

enum timing_status {
    TIMING_OK = 0,
    TIMING_WRONG = 1,       /* an answer was wrong */
    TIMING_FAILED = 2,      /* an update failed */
    TIMING_MEMORY = 3,      /* no memory */
    TIMING_SLOW = 4,        /* inserts were given up after timing_slow_ns */
    TIMING_UNSUPPORTED = 5, /* not on this processor */
};

extern uint64_t timing_slow_ns; /* for the inserts of one call: 60 seconds */

struct timing {
    double ns;         /* an operation */
    double left_out;   /* the share of the time that was spent in chunks that were left out */
    double p999, most; /* of one lookup, where each is timed for itself: ns */
    uint64_t operations;
    uint64_t busy; /* operations without an answer, where that is allowed: of all threads at once */
};

/* What the threads of one sample share. */
struct timing_company {
    atomic_uint waiting;             /* threads that are ready */
    unsigned threads;                /* begin when so many are */
    atomic_uint stop;                /* the partner is to stop, or has ended */
    _Atomic(uint64_t) turns, wanted; /* what the partner has done; lookups go on until it has done so many */
};

/* Draws for lookups: n keys are walked in order, round and round. sums[i] is what chunk i adds up to; busy answers are
 * allowed if `sums` is NULL. */
struct timing_draws {
    const uint64_t *keys, *sums;
    size_t n; /* a multiple of TIMING_CHUNK */
};

/* Independent lookups for at least min_ns; beside others if there is company, which may be of one thread. */
int timing_hits(const struct bid_design *design, void *table, const struct timing_draws *draws, uint64_t min_ns,
                struct timing_company *company, struct timing *timing);

/* Dependent lookups along the cycle. */
int timing_chain(const struct bid_design *design, void *table, const uint64_t *cycle, size_t n, uint64_t min_ns,
                 struct timing *timing);

/* timing_insert: inserts keys[i], with an ID that begins with next[i], in order. timing_remove: removes keys.
 * timing_churn: inserts and removes a slice of keys by turns, until n of both are done. */
int timing_insert(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                  struct timing *timing);
int timing_remove(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing);
int timing_churn(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing);

/* What a partner does. timing_churn_partner: the same as timing_churn() until company->stop; a turn is a key.
 * timing_resize_partner: makes room for four times the entries and gives it back, until company->stop; the design must
 * have reserve() and shrink(). timing_grow_partner: inserts all keys once, and then sets company->stop. */
int timing_churn_partner(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                         struct timing_company *company);
int timing_resize_partner(const struct bid_design *design, void *table, size_t entries, struct timing_company *company);
int timing_grow_partner(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next,
                        size_t n, struct timing_company *company);

/* Lookups beside a partner until it stops, each timed by itself. next[i]: what the ID of keys[i] begins with. */
int timing_latency(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                   struct timing_company *company, struct timing *timing);

/* Inserts entries and checks every answer, whole; absent: n more keys that are not there. */
int timing_fill(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                const uint64_t *absent);

/* What a lookup reads, over all keys: the mean and the most of slots and records. NULL cost functions read 0. */
struct timing_cost {
    double slots, records;
    uint32_t most_slots, most_records;
    uint64_t worst; /* the key that read most records, then slots */
};
void timing_cost(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                 struct timing_cost *cost);

/* Looks up all draws into arrays: rows of BID_ID_NARROW bytes, and lengths. many: by lookup_many() of the design, which
 * it must have; otherwise by its into_arrays(). TIMING_WRONG: a key was not found. */
int timing_into_arrays(const struct bid_design *design, void *table, const struct timing_draws *draws, int many,
                       uint8_t *ids, uint8_t *lengths, struct timing *timing);

/* Bytes that malloc() has handed out, with its own headers, as it counts them itself. 0: it does not count them (glibc
 * does from 2.33 on). */
uint64_t timing_allocated(void);

/* Lets malloc() give back to the system what was freed, if it has a call for that (glibc has). */
void timing_trim(void);

/* ------------------------------------------------------------------------------------------------ keys -- */

/* A random order, the same for the same seed and n. */
void timing_shuffle(uint64_t *keys, size_t n, uint64_t seed);

/* cycle: the keys in another random order. next[i]: what follows keys[i] there. Returns TIMING_OK or TIMING_MEMORY. */
int timing_cycle(const uint64_t *keys, size_t n, uint64_t seed, uint64_t *cycle, uint64_t *next);

/* Draws count keys, a multiple of TIMING_CHUNK, with repetition. sums: of what follows them, a chunk each; next may be
 * NULL: 0 for each. */
void timing_draw(const uint64_t *keys, const uint64_t *next, size_t n, uint64_t seed, uint64_t *draws, uint64_t *sums,
                 size_t count);

/* What a design takes for the keys: the objects that they name, or the keys. Returns TIMING_OK or TIMING_MEMORY. */
int timing_objects(const struct bid_design *design, void *table, uint64_t *keys, size_t n);

/* Fills a key's 20-byte ID. */
void timing_id(uint64_t next, uint8_t id[BID_ID_NARROW]);

#endif
