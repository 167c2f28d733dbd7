/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups while the table grows, with nothing else going on: every answer is as it was. 7 is there, 8 was removed, and
 * 9 was never there. The first lookup takes the general form and the second the simple one.
 *
 * FIRST and SECOND are the keys. A third lookup in the same run would multiply the executions as the second did, which
 * is to more than can be run. What it could add is a key whose answer depends on what two lookups before it have
 * read; a lookup keeps nothing for the next one but the thread's pin slot, which the first one has claimed.
 */
#include "model.h"

static void *resizer(void *unused)
{
    model_enter(1);
    model_resize_begin();
    model_resize_complete();
    return unused;
}

static void look_up(uint64_t key)
{
    assert(model_lookup(key) == (key == 7 ? 1 : MODEL_ABSENT));
}

static void *reader(void *unused)
{
    model_enter(2);
    look_up(FIRST);
#ifdef SECOND
    look_up(SECOND);
#endif
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    assert(model_insert(7, 1) == BID_OK);
    assert(model_insert(8, 2) == BID_OK);
    assert(model_remove(8) == BID_OK);
    model_start(&threads, resizer);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
