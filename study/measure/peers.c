/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Loads designs from outside: see peers.h. */
#include "peers.h"

#include <dlfcn.h>
#include <stdio.h>

const struct bid_design *peer_load(const char *path, char *reason, size_t size)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct bid_design *design = object ? dlsym(object, "bid_design_peer") : NULL;
    if (!design)
        snprintf(reason, size, "%s", dlerror());
    return design;
}
