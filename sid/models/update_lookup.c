/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Updates of a key against lookups of it, without a resize. UPDATE: see states.h. */
#include "states.h"

static void *writer(void *unused)
{
    model_enter(1);
    states_update();
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    states_read_twice();
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    states_setup();
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);
    states_finish();
    return 0;
}
