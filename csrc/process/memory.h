/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Memory for what else lives in a process beside tables: pins, snapshots of the mappings, a profiler.
 */
#ifndef BID_MEMORY_H
#define BID_MEMORY_H

#include <stddef.h>

/* Zeroed memory, reserved but not populated, aligned to a page. Its first `huge` bytes lie on huge pages where the
 * system gives them: then populating a part of such a page makes all of it present. NULL: none. */
void *bid_platform_map(size_t bytes, size_t huge);

/* Makes [address, address + bytes) present for writing, so that no later access faults; others may be using it already.
 * `lock` locks it too. Returns BID_OK, BID_E_NO_MEMORY or BID_E_MLOCK. */
int bid_platform_populate(void *address, size_t bytes, int lock);

void bid_platform_unmap(void *address, size_t bytes);

/* Whether the system can give so much memory, and the process not be killed for it. What is small is not asked about.
 * */
int bid_platform_has(size_t bytes);

#endif
