/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Operations that see the whole table: visits of all entries, lists of all keys, counts and statistics. An entry that
 * is there throughout must be seen once; one that comes, goes or changes meanwhile at most once, as it was meanwhile.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "storm.h"

/* Memory for the sweeps of a thread and of its handlers. Returns 0, or -1 if there is none. */
int sweep_prepare(struct storm_thread *thread);

void sweep_iterate(struct storm_thread *thread, int level);
void sweep_keys(struct storm_thread *thread, int level);
void sweep_count(struct storm_thread *thread, int level); /* bid_count(), bid_resizing() and bid_resizes() */
void sweep_statistics(struct storm_thread *thread);       /* thread context only */

#endif
