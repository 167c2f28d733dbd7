/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A key whose states follow each other: UPDATE is one of INSERT, REPLACE, REMOVE and REINSERT (remove, then insert).
 * Lookups see them in their order and never go back.
 */
#ifndef BID_MODEL_STATES_H
#define BID_MODEL_STATES_H

#include "model.h"

#define INSERT 1
#define REPLACE 2
#define REMOVE 3
#define REINSERT 4

#if UPDATE == INSERT
static const int states[] = {MODEL_ABSENT, 2};
#elif UPDATE == REPLACE
static const int states[] = {1, 2};
#elif UPDATE == REMOVE
static const int states[] = {1, MODEL_ABSENT};
#elif UPDATE == REINSERT
static const int states[] = {1, MODEL_ABSENT, 2};
#else
#error "UPDATE is not defined"
#endif
#define STATES (int)(sizeof states / sizeof *states)

static void states_setup(void)
{
    model_setup();
    if (states[0])
        assert(model_insert(7, 1) == BID_OK);
}

static void states_update(void)
{
    if (UPDATE == REPLACE)
        assert(model_replace(7, 2) == BID_OK);
    if (UPDATE == REMOVE || UPDATE == REINSERT)
        assert(model_remove(7) == BID_OK);
    if (UPDATE == INSERT || UPDATE == REINSERT)
        assert(model_insert(7, 2) == BID_OK);
    assert(model_lookup(7) == states[STATES - 1]); /* a thread sees what it did */
}

/* The first state from `least` on with this value. */
static int states_find(int value, int least)
{
    while (least < STATES && states[least] != value)
        least++;
    assert(least < STATES);
    return least;
}

static inline void states_read_twice(void)
{
    int state = states_find(model_lookup(7), 0);
    states_find(model_lookup(7), state);
}

static void states_finish(void)
{
    assert(model_lookup(7) == states[STATES - 1]);
}

#endif
