/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bid_lookup_many() beside a resize: the head that it reads once for all keys may move, and with RETIRE may be freed, between two
 * steps of a key. With BEGIN it may get its future there as well. UPDATE: a key is replaced meanwhile, and is seen as it was or as it
 * is. Of KEYS keys the first is 7; the others are absent.
 */
#define MODEL_GLANCES
#ifdef RETIRE
#define MODEL_FENCED_PINS 1
#endif
#include "model.h"

#define ROW 8 /* a word of its second step fits */

static uint8_t rows[KEYS][ROW], lengths[KEYS];
static uint64_t glances[KEYS]; /* in place of the bytes of a row, which the model checker cannot read as a word */

static int row_of(const void *pointer)
{
    for (int i = 0; i < KEYS; i++)
        if (pointer == rows[i])
            return i;
    return -1;
}

static void model_copy_word(void *to, const void *from)
{
    if (row_of(to) >= 0)
        glances[row_of(to)] = *(const uint64_t *)from;
    else
        *(uint64_t *)to = glances[row_of(from)];
}

static void *resizer(void *unused)
{
    model_enter(1);
#ifdef BEGIN
    model_resize_begin();
#endif
    model_resize_complete();
#ifdef UPDATE
    assert(model_replace(7, 2) == BID_OK);
#endif
#ifdef RETIRE
    bid_reclaim(&table);
#endif
    return unused;
}

static void *reader(void *unused)
{
    static const uint64_t keys[2] = {7, 9};
    model_enter(2);
    assert(bid_lookup_many(&table, keys, KEYS, rows[0], ROW, lengths) == 1);
    assert(lengths[0] == 1);
#ifdef UPDATE
    assert(rows[0][0] == 1 || rows[0][0] == 2);
#else
    assert(rows[0][0] == 1);
#endif
    for (int i = 1; i < KEYS; i++)
        assert(lengths[i] == 0);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
#ifndef BEGIN
    model_resize_begin();
#endif
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
