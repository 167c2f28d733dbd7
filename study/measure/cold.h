/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Cold hits: lookups that find nothing of the process's data in a cache, as in a handler that comes seldom.
 *
 * The data that a lookup reads are found out, not declared, so designs and peers are treated alike: a child process
 * makes all of its data inaccessible and looks the key up; each page fault names a page. Before a lookup is timed, all
 * lines of its pages are flushed from all caches (CLFLUSH). Three things are not cold: the code, because the same
 * lookup of another key comes just before; the stack, because a handler runs on it as well; and the TLB, which a flush
 * needs itself. A walk over more memory than the last-level cache holds was tried instead. It evicts code and TLB
 * entries, too, which hides the data.
 *
 * Context: the main thread of a process, whose stack counts as no data. x86-64; elsewhere TIMING_UNSUPPORTED. They
 * return one of enum timing_status.
 */
#ifndef BID_COLD_H
#define BID_COLD_H

#include "timing.h"

#define COLD_PAGES_MAX 128 /* of one lookup */

struct cold_pages {
    uint64_t page[COLD_PAGES_MAX]; /* addresses */
    uint32_t count;                /* COLD_PAGES_MAX: there may be more, so the lookup is not cold */
};

/* Lookups of n keys, two at least, in one table. next[i]: what the ID of keys[i] begins with; NULL: answers are not
 * checked. pages[i]: what the lookup of keys[i] reads; NULL: nothing is flushed. */
struct cold_lookups {
    const struct bid_design *design;
    void *table;
    const uint64_t *keys, *next;
    struct cold_pages *pages;
    size_t n;
};

/* Finds the pages of all these lookups, of several tables, in one child. Updates of a table may change its pages. */
int cold_trace(const struct cold_lookups *lookups, size_t tables);

/* Times a cold lookup each of some of the keys: ns[i] is of keys[first + i], with the call. */
int cold_hits(const struct cold_lookups *lookups, size_t first, size_t count, double *ns);

/* As a design, for the same two functions: a lookup that loads what is at the address `key`, the floor; or one that
 * loads nothing, whose time is that of a call. */
const struct bid_design *cold_floor(int loads);

#endif
