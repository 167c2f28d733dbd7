/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Histories of operations on one table, and whether they are linearizable.
 *
 * A history is a set of operations, each with the moments of its invocation and of its return. It is linearizable if
 * each operation can be given a moment between those two so that, done one after the other in that order, every
 * operation answers what it did answer (Herlihy and Wing, 1990). Linearizability is local: a history is linearizable if
 * and only if its operations on each key are. So keys are checked one by one.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdint.h>
#include <stdio.h>

enum history_kind {
    HISTORY_LOOKUP,
    HISTORY_LOOKUP_GENERATION,
    HISTORY_LOOKUP_COST,
    HISTORY_LOOKUP_MANY, /* one row; it has no generation */
    HISTORY_ITERATE,     /* one visit, or that there was none */
    HISTORY_KEYS,        /* whether the key is in the list */
    HISTORY_INSERT,
    HISTORY_REPLACE,
    HISTORY_UPSERT,
    HISTORY_REMOVE,
    HISTORY_REMOVE_GENERATION,
    HISTORY_INSERT_MANY, /* the last of a batch, of generation 0 */
    HISTORY_INSERT_NMI,
    HISTORY_REMOVE_NMI,
    HISTORY_KINDS,
};

static inline int history_is_lookup(uint32_t kind)
{
    return kind < HISTORY_INSERT;
}

/* A build ID is named by a number that no two updates of a history share; 0 is "known to have no build ID". */
#define HISTORY_NO_BUILD_ID 0
#define HISTORY_TORN UINT32_MAX /* bytes that no update of the history wrote */

struct history_op {
    uint32_t key;
    uint32_t kind;                       /* enum history_kind */
    uint32_t generation, id;             /* given */
    int32_t status;                      /* answered: enum bid_status */
    uint32_t found_generation, found_id; /* answered, by a lookup with BID_OK or BID_NO_BUILD_ID */
    uint64_t invoked, returned;          /* no two of these are equal in a history */
    uint32_t thread, level;              /* level 0: the thread itself; above: so many handlers are nested on it */
};

/* ------------------------------------------------------------------------------------ the specification -- */

/* The state of a key: 0, absent, or an entry. */
#define HISTORY_ABSENT 0
#define HISTORY_ENTRY(generation, id) (1ull << 63 | (uint64_t)(generation) << 32 | (id)) /* generation: 31 bits */

/* Whether the operation may answer what it did where the key is in `state`; the state after it in *next. */
int history_apply(const struct history_op *op, uint64_t state, uint64_t *next);

/* --------------------------------------------------------------------------------------------- checking -- */

#define HISTORY_KEY_OPS 64 /* of a key in one history */

enum history_verdict {
    HISTORY_LEGAL,
    HISTORY_ILLEGAL,
    HISTORY_TOO_LONG,  /* more than HISTORY_KEY_OPS operations on a key */
    HISTORY_NO_MEMORY, /* for the search: the history is undecided */
};

/* Where a history is not linearizable. */
struct history_flaw {
    uint32_t key;
    uint32_t explained; /* the most operations on the key that some legal order begins with */
};

/* Decides, by exhaustive search; *flaw is set if the history is not legal. */
enum history_verdict history_check(const struct history_op *ops, unsigned n, struct history_flaw *flaw);

/* ------------------------------------------------------------------------------------------------- text -- */

/* One line an operation: "op" and its fields as numbers, in the order of the struct. */
void history_print(FILE *file, const struct history_op *op);

/* Returns whether the line was an operation. */
int history_parse(const char *line, struct history_op *op);

#endif
