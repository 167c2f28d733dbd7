/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An update of a key while another thread does the whole resize: the copy comes before, at once with or after the
 * update, and must not undo it. UPDATE is one of insert, replace, remove and reinsert; the reader sees the states in
 * their order and never goes back.
 */
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
#else
static const int states[] = {1, MODEL_ABSENT, 2};
#endif
#define STATES (int)(sizeof states / sizeof *states)

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_complete();
    return unused;
}

static void *writer(void *unused)
{
    model_enter(2);
#if UPDATE == REPLACE
    assert(model_replace(7, 2) == BID_OK);
#endif
#if UPDATE == REMOVE || UPDATE == REINSERT
    assert(bid_remove(&table, 7) == BID_OK);
#endif
#if UPDATE == INSERT || UPDATE == REINSERT
    assert(model_insert(7, 2) == BID_OK);
#endif
    return unused;
}

/* The first state from `least` on with this value. */
static int state_of(int value, int least)
{
    while (least < STATES && states[least] != value)
        least++;
    assert(least < STATES);
    return least;
}

static void *reader(void *unused)
{
    model_enter(3);
    int state = state_of(model_lookup(7), 0);
    state_of(model_lookup(7), state);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    if (states[0])
        assert(model_insert(7, 1) == BID_OK);
    model_resize_begin();
    model_start(&threads, resizer);
    model_start(&threads, writer);
#ifdef READER
    model_start(&threads, reader);
#endif
    model_join(&threads);
    assert(model_lookup(7) == states[STATES - 1]);
    return 0;
}
