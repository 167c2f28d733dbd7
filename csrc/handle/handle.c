/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Handles: one atomic word says who uses the table, and whether it may still be used.
 *
 *     word = generation of the process (32 bits) | CLOSED (1 bit) | calls that are inside (31 bits)
 *
 * The table is destroyed by whoever moves the word to "closed, nobody inside", which happens once: nobody enters after
 * CLOSED, and a word that is there already has had its destroyer. Each fork gives the child a new generation; a word
 * of an older one means what it says, but for the calls inside, which were made by threads that the child does not
 * have. Nothing runs at the fork for that: the next call in the child counts from 0.
 *
 * Ordering: leaving is a release and the last compare-and-swap before the destruction an acquire, so every access to
 * the table by every call comes before its destruction. The handle itself is handed from thread to thread by its user.
 */
#include "handle.h"

#include <pthread.h>

#define BID_HANDLE_GENERATION_SHIFT 32
#define BID_HANDLE_CLOSED_BIT (1ull << 31)
#define BID_HANDLE_INSIDE_MASK (BID_HANDLE_CLOSED_BIT - 1)

static uint32_t bid_process_generation; /* written in the child of a fork only, while it has one thread */

static void bid_handle_fork_child(void)
{
    bid_process_generation++;
}

/* Two threads that come first may both register: then a fork counts by two. What failed is tried again with the next handle. */
static int bid_handle_fork_registered(void)
{
    static atomic_int registered;
    if (!atomic_load(&registered) && pthread_atfork(NULL, NULL, bid_handle_fork_child) == 0)
        atomic_store(&registered, 1);
    return atomic_load(&registered);
}

/* ---------------------------------------------------------------------------------------------- the word -- */

/* The word as this process has to read it. */
static uint64_t bid_handle_current(uint64_t word)
{
    if (word >> BID_HANDLE_GENERATION_SHIFT == bid_process_generation)
        return word;
    return (uint64_t)bid_process_generation << BID_HANDLE_GENERATION_SHIFT | (word & BID_HANDLE_CLOSED_BIT);
}

/* Closed, and nobody inside. */
static int bid_handle_over(uint64_t word)
{
    return (word & (BID_HANDLE_CLOSED_BIT | BID_HANDLE_INSIDE_MASK)) == BID_HANDLE_CLOSED_BIT;
}

static struct bid_table *bid_handle_enter(struct bid_handle *handle)
{
    uint64_t word = atomic_load_explicit(&handle->word, memory_order_relaxed);
    do {
        if (word & BID_HANDLE_CLOSED_BIT)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&handle->word, &word, bid_handle_current(word) + 1,
                                                    memory_order_acquire, memory_order_relaxed));
    return handle->table;
}

static void bid_handle_leave(struct bid_handle *handle)
{
    /* pairs with the other calls' leaving, and with bid_handle_close() */
    uint64_t before = atomic_fetch_sub_explicit(&handle->word, 1, memory_order_acq_rel);
    if (bid_handle_over(before - 1))
        bid_destroy(handle->table);
}

void bid_handle_close(struct bid_handle *handle)
{
    uint64_t word = atomic_load_explicit(&handle->word, memory_order_relaxed);
    do {
        if (bid_handle_over(word))
            return;
    } while (!atomic_compare_exchange_weak_explicit(&handle->word, &word,
                                                    bid_handle_current(word) | BID_HANDLE_CLOSED_BIT,
                                                    memory_order_acq_rel, memory_order_relaxed)); /* as leaving */
    if (bid_handle_over(bid_handle_current(word) | BID_HANDLE_CLOSED_BIT))
        bid_destroy(handle->table);
}

int bid_handle_closed(const struct bid_handle *handle)
{
    return (atomic_load_explicit(&handle->word, memory_order_relaxed) & BID_HANDLE_CLOSED_BIT) != 0;
}

/* ----------------------------------------------------------------------------------------- open and close -- */

int bid_handle_open(struct bid_handle *handle, const struct bid_options *options)
{
    if (!handle)
        return BID_E_NULL;
    atomic_init(&handle->word, BID_HANDLE_CLOSED_BIT); /* and nobody inside: there is nothing to destroy */
    if (!bid_handle_fork_registered())
        return BID_E_NO_MEMORY;
    int status = bid_create(&handle->table, options);
    if (status == BID_OK)
        atomic_init(&handle->word, bid_handle_current(0));
    return status;
}

/* ------------------------------------------------------------------------------------------------ calls -- */

/* The body of a call: enters, evaluates an expression of `table` that gives a status, leaves, and returns it. */
#define BID_HANDLE_CALL(handle, expression)                                                                            \
    do {                                                                                                               \
        struct bid_table *table = bid_handle_enter(handle);                                                            \
        if (!table)                                                                                                    \
            return BID_HANDLE_CLOSED;                                                                                  \
        int status = (expression);                                                                                     \
        bid_handle_leave(handle);                                                                                      \
        return status;                                                                                                 \
    } while (0)

int bid_handle_lookup(struct bid_handle *handle, uint64_t key, struct bid_build_id *id)
{
    BID_HANDLE_CALL(handle, bid_lookup(table, key, id));
}

int bid_handle_lookup_generation(struct bid_handle *handle, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    BID_HANDLE_CALL(handle, bid_lookup_generation(table, key, generation, id));
}

int bid_handle_lookup_many(struct bid_handle *handle, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                           uint8_t *lengths, size_t *found)
{
    BID_HANDLE_CALL(handle, (*found = bid_lookup_many(table, keys, n, ids, id_size, lengths), BID_OK));
}

int bid_handle_count(struct bid_handle *handle, uint64_t *count)
{
    BID_HANDLE_CALL(handle, (*count = bid_count(table), BID_OK));
}

int bid_handle_keys(struct bid_handle *handle, uint64_t *keys, size_t capacity, size_t *seen)
{
    BID_HANDLE_CALL(handle, (*seen = bid_keys(table, keys, capacity), BID_OK));
}

int bid_handle_statistics(struct bid_handle *handle, struct bid_stats *stats)
{
    BID_HANDLE_CALL(handle, bid_statistics(table, stats));
}

int bid_handle_insert(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    BID_HANDLE_CALL(handle, bid_insert(table, key, generation, id, length));
}

int bid_handle_replace(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    BID_HANDLE_CALL(handle, bid_replace(table, key, generation, id, length));
}

int bid_handle_upsert(struct bid_handle *handle, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    BID_HANDLE_CALL(handle, bid_upsert(table, key, generation, id, length));
}

int bid_handle_remove(struct bid_handle *handle, uint64_t key)
{
    BID_HANDLE_CALL(handle, bid_remove(table, key));
}

int bid_handle_remove_generation(struct bid_handle *handle, uint64_t key, uint32_t generation)
{
    BID_HANDLE_CALL(handle, bid_remove_generation(table, key, generation));
}

int bid_handle_insert_many(struct bid_handle *handle, const uint64_t *keys, size_t n, const uint8_t *ids,
                           size_t id_size, const uint8_t *lengths, size_t *inserted)
{
    BID_HANDLE_CALL(handle, bid_insert_many(table, keys, n, ids, id_size, lengths, inserted));
}

int bid_handle_reserve(struct bid_handle *handle, uint64_t entries)
{
    BID_HANDLE_CALL(handle, bid_reserve(table, entries));
}

int bid_handle_shrink(struct bid_handle *handle)
{
    BID_HANDLE_CALL(handle, bid_shrink(table));
}

int bid_handle_reclaim(struct bid_handle *handle, uint64_t *retired)
{
    BID_HANDLE_CALL(handle, (*retired = bid_reclaim(table), BID_OK));
}

int bid_handle_associate(struct bid_handle *handle, struct bid_inode *inode, const void *id, size_t length)
{
    BID_HANDLE_CALL(handle, bid_inode_associate(table, inode, id, length));
}

int bid_handle_evict(struct bid_handle *handle, struct bid_inode *inode)
{
    BID_HANDLE_CALL(handle, bid_inode_evict(table, inode));
}

int bid_handle_lookup_inode(struct bid_handle *handle, const struct bid_inode *inode, struct bid_build_id *id)
{
    BID_HANDLE_CALL(handle, bid_inode_lookup(table, inode, id));
}
