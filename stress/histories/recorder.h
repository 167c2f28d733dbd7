/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Runs plans, and records what their operations answered and when.
 *
 * The clock is a counter that every thread and handler adds one to, at each invocation before the call and at each
 * return after it. All changes of one atomic object have one order, which agrees with what happens before what; so an
 * operation whose return has a smaller number than another's invocation was over before that one began. The numbers
 * never make two operations look ordered that are not, and no two are equal. On x86 the addition is also a full fence,
 * which a program need not have there: what is wrong only without it is the model checker's to find (make verify).
 */
#ifndef RECORDER_H
#define RECORDER_H

#include "plan.h"

/* What looks at all keys is an operation on each. Before and after a history by its main thread: one insert a key; two
 * lookups a key. */
#define RECORDER_OPS ((PLAN_THREADS * (PLAN_STEPS + PLAN_HANDLER_STEPS) + 3) * PLAN_KEYS)

/* What came of the histories so far, that the checker does not see. */
struct recorder_tally {
    uint64_t operations;
    uint64_t kinds[HISTORY_KINDS]; /* of them */
    uint64_t refused;              /* updates that said that they could not be done: see refused() in specification.c */
    uint64_t from_handlers;        /* operations */
    uint64_t interrupting;         /* of them, those that interrupted an operation of the same thread */
    uint64_t in_resize;            /* operations that began or ended while a resize stood half done */
    uint64_t traps;                /* operations interrupted after an exact number of instructions */
    uint64_t stood;                /* of them, those that were held there until others had gone on */
    uint64_t overlapping;          /* pairs of operations on one key whose times overlap, one of them an update */
    uint64_t with_overlap;         /* histories that have such a pair */
    uint64_t across_a_resize;      /* histories in which a resize began, stood or ended while their threads ran */
    uint64_t resizes;              /* finished, all in all */
    uint64_t wrong_counts;         /* bid_count() after a history is not what lookups say */
    uint64_t errors;               /* background updates that failed, but for BID_E_RETIRED */
    int64_t first_error;
};

/* Starts the threads. Returns 0, or an errno. */
int recorder_start(void);

/* Runs one plan on a table of its own. Returns how many operations it wrote to `ops` (at most RECORDER_OPS). */
unsigned recorder_run(const struct plan *plan, struct history_op *ops, struct recorder_tally *tally);

#endif
