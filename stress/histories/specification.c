/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What each operation does to a key, one after the other: the header's words as code, and nothing of the table's. */
#include "history.h"

#include "bid.h"

static int is_other_generation(const struct history_op *op, uint64_t state)
{
    return state != HISTORY_ABSENT && (state & ~(1ull << 63)) >> 32 != op->generation;
}

static int found(const struct history_op *op, uint64_t state)
{
    int expected = (uint32_t)state == HISTORY_NO_BUILD_ID ? BID_NO_BUILD_ID : BID_OK;
    if (op->kind == HISTORY_KEYS)
        return op->status == BID_OK;
    if (op->kind == HISTORY_LOOKUP_MANY)
        return op->status == expected && (uint32_t)state == op->found_id;
    return op->status == expected && state == HISTORY_ENTRY(op->found_generation, op->found_id);
}

static int lookup(const struct history_op *op, uint64_t state)
{
    if (state == HISTORY_ABSENT)
        return op->status == BID_ABSENT;
    if (op->kind == HISTORY_LOOKUP_GENERATION && is_other_generation(op, state))
        return op->status == BID_STALE;
    return found(op, state);
}

/* Whether an update may have been refused; then it has changed nothing. BID_E_MAX_ENTRIES is right if it adds an entry,
 * BID_E_WOULD_ALLOCATE for the forms for NMI context, and BID_E_RETIRED for the others, beside a reader that stands
 * still. Any other error is wrong here. */
static int refused(const struct history_op *op)
{
    int nmi = op->kind == HISTORY_INSERT_NMI || op->kind == HISTORY_REMOVE_NMI;
    int adds = op->kind == HISTORY_INSERT || op->kind == HISTORY_INSERT_NMI || op->kind == HISTORY_INSERT_MANY ||
               op->kind == HISTORY_UPSERT;
    if (op->status == BID_E_MAX_ENTRIES)
        return adds;
    return op->status == (nmi ? BID_E_WOULD_ALLOCATE : BID_E_RETIRED);
}

static int update(const struct history_op *op, uint64_t state, uint64_t *next)
{
    int live = state != HISTORY_ABSENT;
    uint64_t entry = HISTORY_ENTRY(op->generation, op->id);
    switch (op->kind) {
    case HISTORY_INSERT:
    case HISTORY_INSERT_NMI:
    case HISTORY_INSERT_MANY:
        *next = live ? state : entry;
        return op->status == (live ? BID_EXISTS : BID_OK);
    case HISTORY_REPLACE:
        *next = live ? entry : state;
        return op->status == (live ? BID_OK : BID_ABSENT);
    case HISTORY_UPSERT:
        *next = entry;
        return op->status == (live ? BID_EXISTS : BID_OK);
    case HISTORY_REMOVE_GENERATION:
        if (is_other_generation(op, state))
            return op->status == BID_STALE;
        /* fall through */
    default:
        *next = HISTORY_ABSENT;
        return op->status == (live ? BID_OK : BID_ABSENT);
    }
}

int history_apply(const struct history_op *op, uint64_t state, uint64_t *next)
{
    *next = state;
    if (history_is_lookup(op->kind))
        return lookup(op, state);
    return refused(op) || update(op, state, next);
}
