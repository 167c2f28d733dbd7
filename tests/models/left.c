/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * LEFT in the head word. One thread gives the head a future, and may not have set LEFT yet. Another thread finds the
 * future, seals its key and updates it there, and then tells a reader. The reader's lookup in simple form, which
 * believes a head word without LEFT, must find the update. With SEEN nobody tells the reader: it has found the update
 * before, by a lookup in general form, which finds the future whatever the head word says.
 */
#include "states.h"

#define READER 3

static _Atomic(int) told;

static void *beginner(void *unused)
{
    model_enter(1);
    model_resize_begin();
    return unused;
}

static void *writer(void *unused)
{
    model_enter(2);
    states_update();
    atomic_store_explicit(&told, 1, memory_order_release);
    return unused;
}

static void *reader(void *unused)
{
    model_enter(READER);
#ifdef SEEN
    states_read_twice();
#else
    int least = atomic_load_explicit(&told, memory_order_acquire) ? STATES - 1 : 0;
    states_find(model_lookup(7), least);
#endif
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    states_setup();
#ifndef SEEN
    model_own_pin(READER);
#endif
    model_start(&threads, beginner);
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);
    states_finish();
    return 0;
}
