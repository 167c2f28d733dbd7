/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a design costs in memory: by how many resident bytes, as the kernel counts them, a process grows from before
 * the design is created until it holds n entries. This is measured in a child process, so that nothing else counts. If
 * the entries of a design are fields of objects, the fields count and the objects do not.
 *
 * A process keeps some memory for its next table (pins, the pools of an allocator), and the child has it for nothing.
 * So compare only figures of processes that never had a table. malloc() gets no huge pages in the child, whatever the
 * process asked for. A design that asks the kernel for huge pages gets them.
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
 * Memory that the design has freed, such as the arrays that it has grown out of, goes back to the system before that.
 * *allocated (allocated may be NULL) gets the bytes that malloc() has handed out, with its headers, and those that the
 * design has mapped itself.
 * Context: thread. Progress: blocking. Memory: that of the child. Returns: enum bid_resident_status. */
int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes,
                 uint64_t *allocated);

/* Finds the cycle of growth in which `entries` lie. The design must have resizing(), and gets these n keys in order.
 * Right after a grow it has *after entries, just before the next one *before. *most gets the bytes an entry at the
 * worst moment of the grow that ends the cycle, when the design has both the old array and the new one.
 * Context: thread. Progress: blocking. Memory: that of the child.
 * Returns: BID_RESIDENT_OK; _E_SYSTEM; _E_SMAPS; _E_CREATE; _E_INSERT, also if n keys are too few. */
int bid_resident_cycle(const struct bid_design *design, uint64_t entries, const uint64_t *keys, size_t n,
                       uint64_t *after, uint64_t *before, double *most);

#endif
