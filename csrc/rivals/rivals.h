/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The designs that are compared, behind one interface: ours and its rivals.
 *
 * Statuses, arguments and contexts are those of the functions of the same name in pybuildid.h; a lookup's cost may be
 * NULL, and is not measured then. A design leaves NULL what it does not have, of the functions after remove.
 */
#ifndef BID_RIVALS_H
#define BID_RIVALS_H

#include "pybuildid.h"

struct bid_design {
    const char *name;
    const char *summary;                                       /* one line, for a reader who has not seen it */
    void *(*create)(uint64_t expected_entries, uint64_t seed); /* NULL: no memory */
    void (*destroy)(void *design);
    int (*lookup)(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);
    int (*lookup_generation)(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id);
    int (*insert)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*replace)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove)(void *design, uint64_t key);
    int (*insert_nmi)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove_nmi)(void *design, uint64_t key);
    int (*reserve)(void *design, uint64_t entries);
    int (*shrink)(void *design);
    uint64_t (*reclaim)(void *design);
    uint64_t (*count)(const void *design);
    int (*resizing)(const void *design);
    uint64_t (*resizes)(const void *design);
};

extern const struct bid_design bid_design_ours;
extern const struct bid_design bid_design_spinlock;

#endif
