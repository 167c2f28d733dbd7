/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The update side of csrc/resolve: making snapshots, and taking them away. */
#ifndef BID_SNAPSHOT_H
#define BID_SNAPSHOT_H

#include "../process/memory.h"
#include "procmaps.h"
#include "resolve.h"

/* A snapshot with the ranges and files of the text; nothing is known of the files yet.
 * BID_OK, BID_E_NO_MEMORY or BID_E_TOO_MANY. */
int bid_snapshot_make(struct bid_snapshot **snapshot, const struct bid_maps_text *text);

/* Copies what `old` knows of mappings that it has as well. */
void bid_snapshot_inherit(struct bid_snapshot *snapshot, const struct bid_snapshot *old);

/* Reads the files of which nothing is known, and those that may have been replaced or changed since. Sets `same`. */
void bid_snapshot_read_files(struct bid_snapshot *snapshot);

/* BID_OK or as bid_insert(). */
int bid_snapshot_associate(struct bid_snapshot *snapshot, struct bid_table *table);

/* Evicts its inodes and frees it. BID_OK, or an error of bid_remove(): then it is still there, dispose of it again. */
int bid_snapshot_dispose(struct bid_snapshot *snapshot, struct bid_table *table);

/* follow.c: ends the thread. */
void bid_follower_stop(struct bid_maps *maps);

#endif
