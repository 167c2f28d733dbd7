/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A handle on a table for language bindings, where close() may come at any time and from any thread.
 *
 * bid_destroy() leaves it to its caller that no other call is running or comes later. A handle sees to that: each
 * function below enters, calls the function of pybuildid.h that it is named after, and leaves. After
 * bid_handle_close() they return BID_HANDLE_CLOSED; the table is destroyed by the last call that leaves, or by close
 * itself if none is running. No call waits for another.
 *
 * Only threads call these functions, never signal handlers: a fork() in a handler that interrupted one of them is not
 * accounted for. In the child of a fork() the calls of the parent's other threads do not count, as those threads are
 * not there. A table that another thread was destroying at the moment of the fork stays unfreed in the child.
 *
 * Status values are those of enum bid_status, and BID_HANDLE_CLOSED. Where the function of pybuildid.h returns a
 * number, it comes in the last parameter here.
 */
#ifndef BID_HANDLE_H
#define BID_HANDLE_H

#include <pybuildid.h>
#include <stdatomic.h>

#define BID_HANDLE_CLOSED (-64) /* the handle has been closed: nothing was done */

/* The memory of a handle is its user's, who keeps it for as long as a call may come: a collector of garbage may close a handle
 * and run code that uses it afterwards. */
struct bid_handle {
    _Atomic(uint64_t) word; /* see handle.c */
    struct bid_table *table;
};

/* Creates a table, and a handle on it in *handle; that is closed after an error. Returns: as bid_create(). */
int bid_handle_open(struct bid_handle *handle, const struct bid_options *options);

/* Ends the use of the table. May be called again. Progress: lock-free but for the system calls of bid_destroy(). */
void bid_handle_close(struct bid_handle *handle);

/* 1 or 0. */
int bid_handle_closed(const struct bid_handle *handle);

int bid_handle_lookup(struct bid_handle *handle, uint64_t key, struct bid_build_id *id);
int bid_handle_lookup_generation(struct bid_handle *handle, uint64_t key, uint32_t generation, struct bid_build_id *id);
int bid_handle_lookup_many(struct bid_handle *handle, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                           uint8_t *lengths, size_t *found);
int bid_handle_count(struct bid_handle *handle, uint64_t *count);
int bid_handle_keys(struct bid_handle *handle, uint64_t *keys, size_t capacity, size_t *seen);
int bid_handle_statistics(struct bid_handle *handle, struct bid_stats *stats);

int bid_handle_insert(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length);
int bid_handle_replace(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length);
int bid_handle_upsert(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length);
int bid_handle_remove(struct bid_handle *handle, uint64_t key);
int bid_handle_remove_generation(struct bid_handle *handle, uint64_t key, uint32_t generation);
int bid_handle_insert_many(struct bid_handle *handle, const uint64_t *keys, size_t n, const uint8_t *ids,
                           size_t id_size, const uint8_t *lengths, size_t *inserted);
int bid_handle_reserve(struct bid_handle *handle, uint64_t entries);
int bid_handle_shrink(struct bid_handle *handle);
int bid_handle_reclaim(struct bid_handle *handle, uint64_t *retired);

int bid_handle_associate(struct bid_handle *handle, struct bid_inode *inode, const void *id, size_t length);
int bid_handle_evict(struct bid_handle *handle, struct bid_inode *inode);
int bid_handle_lookup_inode(struct bid_handle *handle, const struct bid_inode *inode, struct bid_build_id *id);

#endif
