/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Updates of a key while another thread does the whole resize: the copy comes before, at once with or after the
 * update, and must not undo it. UPDATE: see states.h; READER: with a third thread that looks up; BEGIN: the resize begins
 * beside the update, too, so that the update may work in an array that is being left.
 *
 * An update of an entry, a whole resize and a reader are too many executions at once, so those come in two parts. COPY: the
 * other thread copies the key and does no more of the resize; COPIED: it does the rest, the move of the head included.
 */
#include "states.h"

static inline void migrate(void)
{
    struct bid_pin pin = bid_pin(table.pins);
    struct bid_array *head = model_head(), *future = bid_future(&table, head);
    assert(bid_migrate(&table, head, future, 7, BID_TAKE_COPY, 1) == BID_OK);
    bid_unpin(table.pins, pin);
}

static void *resizer(void *unused)
{
    model_enter(1);
#ifdef BEGIN
    model_resize_begin();
#endif
#ifdef COPY
    migrate();
#else
    model_resize_complete();
#endif
    return unused;
}

static void *writer(void *unused)
{
    model_enter(2);
    states_update();
    return unused;
}

static inline void *reader(void *unused)
{
    model_enter(3);
    states_read_twice();
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    states_setup();
#ifndef BEGIN
    model_resize_begin();
#endif
#ifdef COPIED
    migrate();
#endif
    model_start(&threads, resizer);
    model_start(&threads, writer);
#ifdef READER
    model_start(&threads, reader);
#endif
    model_join(&threads);
    bid_reclaim(&table); /* what the head has left, and nothing else */
    states_finish();
    return 0;
}
