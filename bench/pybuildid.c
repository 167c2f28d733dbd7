/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The table, as a contender. */
#include "pybuildid.h"
#include "loops.h"

#include <sched.h>

/* Whether to try again: a reader that the system has taken off its processor in the middle of a lookup holds up the
 * freeing of arrays, and the table refuses to resize before it comes back. */
BENCH_INLINE int again(int status)
{
    return __builtin_expect(status == BID_E_RETIRED, 0) && sched_yield() == 0;
}

static void *create(uint64_t seed)
{
    struct bid_options options = {
        .size = sizeof options, .flags = BID_FIXED_SEED, .seed = seed, .id_size = BENCH_ID_BYTES};
    struct bid_table *table;
    int status = bid_create(&table, &options);
    if (status != BID_OK)
        bench_die("bid_create: %s", bid_status_text(status));
    return table;
}

static void destroy(void *table)
{
    bid_destroy(table);
}

static size_t insert(void *table, const uint64_t *keys, const uint64_t *next, size_t n)
{
    size_t inserted = 0;
    uint8_t id[BENCH_ID_BYTES];
    for (size_t i = 0; i < n; i++) {
        bench_id(next[i], id);
        int status;
        do
            status = bid_insert(table, keys[i], 0, id, sizeof id);
        while (again(status));
        inserted += status == BID_OK;
    }
    return inserted;
}

static size_t remove_keys(void *table, const uint64_t *keys, size_t n)
{
    size_t removed = 0;
    for (size_t i = 0; i < n; i++) {
        int status;
        do
            status = bid_remove(table, keys[i]);
        while (again(status));
        removed += status == BID_OK;
    }
    return removed;
}

static int lookup(void *table, uint64_t key, uint8_t id[BENCH_ID_BYTES])
{
    struct bid_build_id found;
    if (bid_lookup(table, key, &found) != BID_OK || found.length != BENCH_ID_BYTES)
        return 0;
    memcpy(id, found.bytes, BENCH_ID_BYTES);
    return 1;
}

BENCH_INLINE uint64_t lookup_first(void *table, uint64_t key)
{
    struct bid_build_id id;
    return bid_lookup(table, key, &id) == BID_OK ? bench_first(id.bytes) : 0;
}

static uint64_t hits(void *table, const uint64_t *keys, size_t n)
{
    return bench_loop_hits(lookup_first, table, keys, n);
}

static uint64_t chain(void *table, uint64_t key, size_t n)
{
    return bench_loop_chain(lookup_first, table, key, n);
}

/* n is BENCH_CHUNK at most. The answers go to 80 KiB, which stay in the second-level cache. */
static uint64_t bulk(void *table, const uint64_t *keys, size_t n)
{
    static uint8_t ids[BENCH_CHUNK * BENCH_ID_BYTES], lengths[BENCH_CHUNK];
    bid_lookup_many(table, keys, n, ids, BENCH_ID_BYTES, lengths);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t first;
        memcpy(&first, ids + i * BENCH_ID_BYTES, sizeof first);
        sum += lengths[i] ? first : 0;
    }
    return sum;
}

static void resize(void *table, size_t entries)
{
    int status;
    do
        status = bid_reserve(table, entries);
    while (again(status));
    if (status == BID_OK) {
        do
            status = bid_shrink(table);
        while (again(status));
    }
    if (status != BID_OK)
        bench_die("resize: %s", bid_status_text(status));
}

static void settle(void *table)
{
    if (bid_reclaim(table) != 0)
        bench_die("a retired array was not freed");
}

static void nothing(void)
{
}

uint64_t bench_table_bytes(void *table)
{
    struct bid_stats stats = {.size = sizeof stats};
    int status = bid_statistics(table, &stats);
    if (status != BID_OK)
        bench_die("bid_statistics: %s", bid_status_text(status));
    return stats.bytes_slots + stats.bytes_records;
}

const struct bench_contender bench_pybuildid = {
    .name = "pybuildid",
    .create = create,
    .destroy = destroy,
    .insert = insert,
    .remove = remove_keys,
    .lookup = lookup,
    .hits = hits,
    .bulk = bulk,
    .chain = chain,
    .resize = resize,
    .settle = settle,
    .thread_begin = nothing,
    .thread_end = nothing,
};
