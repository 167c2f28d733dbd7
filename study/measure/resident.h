/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a design costs in memory: resident bytes, as the kernel counts them, from before it is created until it holds
 * n entries. Built and filled in a child process of its own, so that nothing else counts. Of a design whose entries are
 * fields of objects, the objects do not count, and their fields do.
 *
 * What the calling process keeps for a next table (pins, the pools of an allocator) the child has for nothing: figures
 * to be compared are to be taken in a process that never had a table. malloc() gets no huge pages in the child,
 * whatever the process asked for; a design that asks the kernel for them itself does.
 */
#ifndef BID_RESIDENT_H
#define BID_RESIDENT_H

#include "rivals.h"

enum bid_resident_status {
    BID_RESIDENT_OK = 0,
    BID_RESIDENT_E_SYSTEM = 1, /* pipe(), fork() or the child failed */
    BID_RESIDENT_E_SMAPS = 2,  /* no /proc/self/smaps_rollup (Linux 4.14) */
    BID_RESIDENT_E_CREATE = 3, /* the design has no memory */
    BID_RESIDENT_E_INSERT = 4, /* an insert failed, or the same key came twice */
};

/* Puts n keys with 20-byte IDs into a design that was created for `expected` entries, and gives its resident bytes.
 * What is freed in the meantime, such as the arrays that it has grown out of, is given back before counting.
 * allocated (may be NULL): the same in the allocator's view: bytes that malloc() has handed out, with its headers, and
 * what the design has mapped besides.
 * Context: thread. Progress: blocking. Memory: that of the child. Returns: enum bid_resident_status. */
int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes,
                 uint64_t *allocated);

/* The cycle of growth that so many entries lie in, of a design that has resizing() and takes these n keys in order:
 * right after a grow it has *after entries, and *before just before the next. *most: bytes an entry while it grows at
 * the end of the cycle, with the array that it grows out of and the one that it grows into, at the worst moment.
 * Context: thread. Progress: blocking. Memory: that of the child.
 * Returns: BID_RESIDENT_OK; _E_SYSTEM; _E_SMAPS; _E_CREATE; _E_INSERT, also if n keys are too few. */
int bid_resident_cycle(const struct bid_design *design, uint64_t entries, const uint64_t *keys, size_t n,
                       uint64_t *after, uint64_t *before, double *most);

#endif
