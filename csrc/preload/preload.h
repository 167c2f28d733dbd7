/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the functions of the preloaded library share. Each is called in the place of libc's function of the same
 * name. */
#ifndef BID_PRELOAD_H
#define BID_PRELOAD_H

#include "../profile/agent.h"

#include <dlfcn.h>

#define EXPORTED __attribute__((visibility("default")))

/* libc's function of that name, looked up once: not the loader's lock at each call. */
static inline void *bid_next(_Atomic(void *) *known, const char *name)
{
    void *function = bid_load(known, BID_RELAXED);
    if (!function) {
        function = dlsym(RTLD_NEXT, name);
        bid_store(known, function, BID_RELAXED);
    }
    return function;
}

#endif
