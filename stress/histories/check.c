/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The search of Wing and Gong (1993) with Lowe's memory of configurations (2017), for one key.
 *
 * A configuration is a set of operations that already have a place in the order, and the key's state after them. The
 * next place may go to any operation that was invoked before the first of those that are left returned. The search does
 * not go on from a configuration that it has met before. So it ends, and it is exhaustive.
 */
#include "history.h"

#include <stdlib.h>
#include <string.h>

struct configuration {
    uint64_t placed; /* a bit for each operation */
    uint64_t state;
};

#define NOBODY UINT64_MAX /* .placed of an empty place: all of 64 are never looked up, the search ends with them */

struct search {
    const struct history_op *op[HISTORY_KEY_OPS];
    unsigned n;
    struct configuration *seen; /* a hash table, of which at most half is filled */
    size_t seen_mask, seen_n;
    struct configuration *open; /* to go on from: as many places as `seen` has */
    size_t open_n;
};

static struct configuration *place_of(struct configuration *seen, size_t mask, struct configuration c)
{
    uint64_t mixed = (c.placed * 0x9e3779b97f4a7c15ull ^ c.state) * 0xbf58476d1ce4e5b9ull;
    size_t i = (mixed ^ mixed >> 32) & mask;
    while (seen[i].placed != NOBODY && (seen[i].placed != c.placed || seen[i].state != c.state))
        i = (i + 1) & mask;
    return &seen[i];
}

static int grow(struct search *search)
{
    size_t places = search->seen ? 2 * (search->seen_mask + 1) : 256;
    struct configuration *seen = malloc(places * sizeof *seen);
    struct configuration *open = realloc(search->open, places * sizeof *open);
    search->open = open ? open : search->open;
    if (!seen || !open) {
        free(seen);
        return 0;
    }
    memset(seen, 0xff, places * sizeof *seen);
    for (size_t i = 0; search->seen && i <= search->seen_mask; i++)
        if (search->seen[i].placed != NOBODY)
            *place_of(seen, places - 1, search->seen[i]) = search->seen[i];
    free(search->seen);
    search->seen = seen;
    search->seen_mask = places - 1;
    return 1;
}

/* Goes on from a configuration later, unless it was met before. Returns 0 if there is no memory. */
static int meet(struct search *search, struct configuration c)
{
    if (search->seen_n * 2 >= search->seen_mask && !grow(search))
        return 0;
    struct configuration *place = place_of(search->seen, search->seen_mask, c);
    if (place->placed != NOBODY)
        return 1;
    *place = c;
    search->seen_n++;
    search->open[search->open_n++] = c;
    return 1;
}

/* All operations that may come next. Returns 0 if there is no memory. */
static int expand(struct search *search, struct configuration c)
{
    uint64_t first_return = UINT64_MAX, next;
    for (unsigned i = 0; i < search->n; i++)
        if (!(c.placed >> i & 1) && search->op[i]->returned < first_return)
            first_return = search->op[i]->returned;
    for (unsigned i = search->n; i-- > 0;) /* what was invoked first is tried first */
        if (!(c.placed >> i & 1) && search->op[i]->invoked < first_return &&
            history_apply(search->op[i], c.state, &next) &&
            !meet(search, (struct configuration){c.placed | 1ull << i, next}))
            return 0;
    return 1;
}

static enum history_verdict run(struct search *search, uint32_t *explained)
{
    uint64_t all = search->n == 64 ? UINT64_MAX : (1ull << search->n) - 1;
    if (!search->n)
        return HISTORY_LEGAL;
    if (!grow(search) || !meet(search, (struct configuration){0, HISTORY_ABSENT}))
        return HISTORY_NO_MEMORY;
    while (search->open_n) {
        struct configuration c = search->open[--search->open_n];
        uint32_t placed = (uint32_t)__builtin_popcountll(c.placed);
        if (placed > *explained)
            *explained = placed;
        if (c.placed == all)
            return HISTORY_LEGAL;
        if (!expand(search, c))
            return HISTORY_NO_MEMORY;
    }
    return HISTORY_ILLEGAL;
}

static int by_invocation(const void *left, const void *right)
{
    const struct history_op *a = *(const struct history_op *const *)left, *b = *(const struct history_op *const *)right;
    return (a->invoked > b->invoked) - (a->invoked < b->invoked);
}

static enum history_verdict check_key(const struct history_op *ops, unsigned n, struct history_flaw *flaw)
{
    struct search search = {0};
    for (unsigned i = 0; i < n; i++) {
        if (ops[i].key != flaw->key)
            continue;
        if (search.n == HISTORY_KEY_OPS)
            return HISTORY_TOO_LONG;
        search.op[search.n++] = &ops[i];
    }
    qsort(search.op, search.n, sizeof *search.op, by_invocation);
    enum history_verdict verdict = run(&search, &flaw->explained);
    free(search.seen);
    free(search.open);
    return verdict;
}

enum history_verdict history_check(const struct history_op *ops, unsigned n, struct history_flaw *flaw)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned first = 0;
        while (ops[first].key != ops[i].key)
            first++;
        if (first != i)
            continue; /* checked with its first operation */
        *flaw = (struct history_flaw){.key = ops[i].key};
        enum history_verdict verdict = check_key(ops, n, flaw);
        if (verdict != HISTORY_LEGAL)
            return verdict;
    }
    return HISTORY_LEGAL;
}
