/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Memory that readers may still be in, kept until settle(), when there are none. Concurrency Kit leaves reclamation to
 * its user; here its readers pay nothing for it, which no user of it can do: a favour.
 */
#ifndef PEER_DEFERRED_H
#define PEER_DEFERRED_H

#include <stddef.h>
#include <stdlib.h>

struct deferred {
    void **memory;
    size_t count, capacity;
};

static inline void deferred_add(struct deferred *deferred, void *memory)
{
    if (deferred->count == deferred->capacity) {
        size_t capacity = 2 * deferred->capacity + 1024;
        void **larger = realloc(deferred->memory, capacity * sizeof *larger);
        if (!larger)
            return; /* a leak, and safe */
        deferred->memory = larger;
        deferred->capacity = capacity;
    }
    deferred->memory[deferred->count++] = memory;
}

static inline void deferred_free(struct deferred *deferred)
{
    while (deferred->count)
        free(deferred->memory[--deferred->count]);
    free(deferred->memory);
    *deferred = (struct deferred){NULL, 0, 0};
}

#endif
