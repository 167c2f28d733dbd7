/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Concurrency Kit's ck_hs as a design: a set of pointers to entries, one updater at a time. Its readers start again
 * while entries move.
 */
#if __has_include(<ck_hs.h>)

#include <ck_hs.h>

#include "deferred.h"
#include "loops.h"
#include "peer.h"
#include "record.h"

struct entry {
    uint64_t key; /* first: a key alone is looked for as an entry */
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW];
};

struct hs_table {
    ck_hs_t hs;
    struct deferred deferred;
};

static struct deferred *growing; /* where the map goes that ck_hs grows out of: its allocator has no argument */

static void *hs_malloc(size_t bytes)
{
    return malloc(bytes);
}

static void hs_free(void *memory, size_t bytes, bool defer)
{
    (void)bytes;
    if (defer && growing)
        deferred_add(growing, memory);
    else
        free(memory);
}

static struct ck_malloc hs_allocator = {.malloc = hs_malloc, .free = hs_free};

static unsigned long hs_hash(const void *entry, unsigned long seed)
{
    (void)seed;
    return rival_hash(*(const uint64_t *)entry);
}

static bool hs_same(const void *a, const void *b)
{
    return *(const uint64_t *)a == *(const uint64_t *)b;
}

static void *hs_create(uint64_t expected_entries, uint64_t seed)
{
    struct hs_table *table = calloc(1, sizeof *table);
    (void)expected_entries;
    if (table && ck_hs_init(&table->hs, CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT | CK_HS_MODE_DELETE, hs_hash, hs_same,
                            &hs_allocator, 64, (unsigned long)seed))
        return table;
    free(table);
    return NULL;
}

static inline int hs_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    struct hs_table *table = design;
    const struct entry *entry = ck_hs_get(&table->hs, rival_hash(key), &key);
    if (cost)
        *cost = (struct bid_probe_cost){0, 0};
    return entry ? rival_answer(entry->generation, entry->length, entry->bytes, id) : BID_ABSENT;
}

static int hs_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct hs_table *table = design;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    struct entry *entry = status == BID_OK ? malloc(sizeof *entry) : NULL;
    if (!entry)
        return status == BID_OK ? BID_E_NO_MEMORY : status;
    *entry = (struct entry){.key = key, .generation = generation, .length = (uint8_t)length};
    if (length)
        memcpy(entry->bytes, id, length);
    growing = &table->deferred;
    bool put = ck_hs_put(&table->hs, rival_hash(key), entry);
    growing = NULL;
    if (!put)
        free(entry);
    return put ? BID_OK : BID_EXISTS;
}

static int hs_remove(void *design, uint64_t key)
{
    struct hs_table *table = design;
    void *entry = ck_hs_remove(&table->hs, rival_hash(key), &key);
    if (entry)
        deferred_add(&table->deferred, entry);
    return entry ? BID_OK : BID_ABSENT;
}

static void hs_settle(void *design)
{
    deferred_free(&((struct hs_table *)design)->deferred);
}

static void hs_destroy(void *design)
{
    struct hs_table *table = design;
    ck_hs_iterator_t iterator = CK_HS_ITERATOR_INITIALIZER;
    void *entry;
    while (ck_hs_next(&table->hs, &iterator, &entry))
        free(entry);
    ck_hs_destroy(&table->hs);
    hs_settle(design);
    free(table);
}

RIVAL_LOOPS(hs)

const struct bid_design bid_design_peer = {
    .name = "ck_hs",
    .summary = "Concurrency Kit's hash set of pointers to entries, for one updater",
    .create = hs_create,
    .destroy = hs_destroy,
    .lookup = hs_lookup,
    .insert = hs_insert,
    .remove = hs_remove,
    .hits = hs_hits,
    .chain = hs_chain,
    .settle = hs_settle,
    .traits = RIVAL_GROWS,
};

#else
typedef int needs_libck; /* ISO C wants something here */
#endif
