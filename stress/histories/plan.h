/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What one history is to do, made from a seed: the table, its background, and a script for each thread and for the
 * handlers on it. The same seed gives the same plan; how the operations meet is up to the machine.
 */
#ifndef PLAN_H
#define PLAN_H

#include "history.h"

#include "bid.h"

#define PLAN_THREADS 4
#define PLAN_KEYS 3
#define PLAN_STEPS 7         /* of a thread */
#define PLAN_HANDLER_STEPS 6 /* of all handlers on a thread */
#define PLAN_BATCH 5         /* background keys of an insert of many, before the one in question */

/* Beside the operations of a history, what forces resizes; not recorded. */
enum plan_work {
    PLAN_RECORDED, /* enum history_kind says what */
    PLAN_FILL,     /* inserts `amount` background keys */
    PLAN_DRAIN,    /* removes as many of them */
    PLAN_RESERVE,  /* room for `amount` */
    PLAN_SHRINK,
    PLAN_RECLAIM,
};

struct plan_step {
    enum plan_work work;
    uint32_t amount;
    struct history_op op; /* key, kind, generation, id */
    uint32_t trap_after;  /* a handler interrupts the operation after so many instructions; 0: none does (x86-64) */
    uint32_t stand;       /* that handler stands still until others began or ended so many operations */
    int await;            /* first wait for threads that go to their trap: an instruction takes them microseconds */
    int kick;             /* and direct a signal at the next thread */
};

enum plan_start {
    PLAN_ANYWHERE,
    PLAN_BEFORE_RESIZE, /* as many background keys more as bring the table to within a few inserts of one */
    PLAN_IN_RESIZE,     /* as many more as begin one */
    PLAN_STARTS,
};

struct plan {
    struct bid_options options;
    unsigned longest;   /* build ID */
    uint64_t first_key; /* the address of key 0 */
    int colliding;      /* the keys in question have one home bucket under the first seed, not addresses in a row */
    uint32_t threads, keys;
    enum plan_start start;
    uint32_t background; /* keys inserted before the threads start */
    struct plan_step before[PLAN_KEYS];
    struct plan_step step[PLAN_THREADS][PLAN_STEPS];
    struct plan_step handler[PLAN_THREADS][PLAN_HANDLER_STEPS];
};

void plan_make(struct plan *plan, uint64_t seed, uint64_t number);

uint64_t plan_key(const struct plan *plan, uint32_t key);
uint64_t plan_background_key(const struct plan *plan, uint64_t number);

/* The build ID of a number, as bytes; returns its length. */
unsigned plan_id(const struct plan *plan, uint32_t key, uint32_t number, uint8_t bytes[BID_ID_MAX]);

/* The number of a build ID that was found: HISTORY_TORN if there is no such ID. */
uint32_t plan_id_number(const struct plan *plan, uint32_t key, const struct bid_build_id *id);

#endif
