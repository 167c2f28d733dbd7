/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups from a signal handler that interrupts the updater, and lookups instruction by instruction; each in a child
 * process, which a watchdog ends when a lookup does not.
 *
 * Context: thread. Progress: blocking. Linux.
 */
#ifndef BID_INTERRUPT_H
#define BID_INTERRUPT_H

#include "rivals.h"

#define INTERRUPT_STEPPED_MAX 256

enum interrupt_status {
    INTERRUPT_OK = 0,
    INTERRUPT_E_SYSTEM = 1, /* mmap(), fork(), a timer or the child failed */
    INTERRUPT_E_UPDATE = 2, /* an update failed */
};

struct interrupt_result {
    uint64_t interruptions, in_update; /* in_update: those that came while the thread was inside an update */
    uint64_t answered, busy, wrong;    /* lookups */
    uint64_t blocked;                  /* 1: the last lookup never returned */
    uint64_t updates, resizes;
};

/* One thread inserts the second half of n keys, removes them, and so on, for so many seconds; every 50 microseconds a
 * handler interrupts it and looks up a key of the first half, which stays, and the key of the update at hand. The ID of
 * keys[i] begins with keys[i]. expected: for create(). A lookup that has used half a second of processor time, or taken
 * two seconds without any, is blocked. */
int interrupt_run(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, double seconds,
                  struct interrupt_result *result);

/* The instructions of a lookup of each of n keys (at most INTERRUPT_STEPPED_MAX), counted by the processor's trap flag;
 * a system call counts as one. 0 each where the processor is another than x86-64. */
int interrupt_count(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                    uint32_t *instructions);

#endif
