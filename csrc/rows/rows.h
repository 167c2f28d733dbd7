/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Many entries of a table at once, as columns: what the Python package calls, on the public interface alone.
 *
 * Context: thread, for all functions here. A function that returns int returns one of enum bid_status; after an error
 * the rows before the one that failed are done.
 */
#ifndef BID_ROWS_H
#define BID_ROWS_H

#include "bid/table.h"

/* What bid_rows_lookup() writes as the length of an entry of another generation. */
#define BID_LENGTH_STALE 254

/* Row i: keys[i], generations[i], lengths[i], and the build ID in the id_size bytes at ids + i * id_size. Lengths are
 * those of bid_insert_many(). In rows to read from, generations may be NULL (each is 0), and lengths (each is id_size).
 */
struct bid_rows {
    uint64_t *keys;
    uint32_t *generations;
    uint8_t *ids;
    uint8_t *lengths;
    size_t id_size;
};

/* How far a function came. */
struct bid_rows_done {
    size_t changed; /* entries that were inserted or removed */
    size_t row;     /* after an error: the one that failed */
};

/* Inserts n entries of keys that have none.
 * Progress: lock-free. Memory: may allocate. May change errno. Returns: as bid_insert(); BID_OK also for those that
 * were there. */
int bid_rows_insert(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done);

/* Inserts or replaces n entries, in their order.
 * Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK or an error of bid_upsert(). */
int bid_rows_upsert(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done);

/* Removes the entries of n keys, where generations are given only those of that generation.
 * Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK or an error of bid_remove(). */
int bid_rows_remove(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done);

/* As bid_lookup_many(), but an entry of another generation than rows->generations says has the length
 * BID_LENGTH_STALE, and no ID. rows->id_size is at least the table's.
 * Progress: wait-free. Memory: none. */
void bid_rows_lookup(const struct bid_table *table, const struct bid_rows *rows, size_t n);

/* Writes at most `capacity` entries, each as it is at one moment of the call. rows->id_size is at least the table's.
 * Progress: as bid_iterate(). Memory: none.
 * Returns: the number of entries seen, which may be more than capacity: call again with more room. */
size_t bid_rows_read(const struct bid_table *table, const struct bid_rows *rows, size_t capacity);

#endif
