/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Designs that lie now and then, to show that the harness can tell. Each is our own table with one falsehood.
 */
#include "lies.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define LIE_EVERY 100 /* of so many calls one is a lie */
#define LIE_OLD 4096  /* answers that a liar remembers */

static int lie_now(void)
{
    static atomic_uint calls;
    return atomic_fetch_add(&calls, 1) % LIE_EVERY == LIE_EVERY - 1;
}

static int lie_absent(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    return lie_now() ? BID_ABSENT : status;
}

/* Half of one ID, half of another. */
static int lie_torn(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (status == BID_OK && lie_now())
        memset(id->bytes + id->length / 2, 0, id->length - id->length / 2u);
    return status;
}

/* What this key was said to be some time ago. An answer is written once, by who claimed its place, and then read. */
static int lie_back(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    static struct bid_build_id old[LIE_OLD];
    static _Atomic(uint64_t) claimed[LIE_OLD], owner[LIE_OLD];
    unsigned number = (unsigned)(key * 0x9e3779b97f4a7c15ull >> 52) % LIE_OLD;
    uint64_t nobody = 0;
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (status != BID_OK)
        return status;
    if (atomic_load(&owner[number]) == key) {
        if (lie_now())
            *id = old[number];
    } else if (atomic_compare_exchange_strong(&claimed[number], &nobody, key)) {
        old[number] = *id;
        atomic_store(&owner[number], key);
    }
    return status;
}

/* Another generation's build ID, as an answer to a lookup that named its own. */
static int lie_stale(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    int status = bid_design_ours.lookup_generation(design, key, generation, id);
    return status == BID_STALE && lie_now() ? bid_design_ours.lookup(design, key, id, NULL) : status;
}

static int lie_errno(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    if (lie_now())
        errno = EBUSY;
    return bid_design_ours.lookup(design, key, id, cost);
}

static int lie_long(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (cost && lie_now())
        cost->slots = BID_LOOKUP_MAX_SLOTS + 1;
    return status;
}

static int lie_lost(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return lie_now() ? BID_OK : bid_design_ours.insert(design, key, generation, id, length);
}

static int lie_refused(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return lie_now() ? BID_E_NO_MEMORY : bid_design_ours.replace(design, key, generation, id, length);
}

static int lie_twice(void *design, uint64_t key)
{
    int status = bid_design_ours.remove(design, key);
    return status == BID_ABSENT && lie_now() ? BID_OK : status;
}

static uint64_t lie_count(const void *design)
{
    return bid_design_ours.count(design) + 1;
}

static int lie_death(void *design, uint64_t key)
{
    if (lie_now())
        raise(SIGKILL); /* no signal that leaves a core file */
    return bid_design_ours.remove(design, key);
}

static int lie_call(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    if (lie_now())
        getppid();
    return bid_design_ours.lookup(design, key, id, cost);
}

static int lie_call_nmi(void *design, uint64_t key)
{
    getppid();
    return bid_design_ours.remove_nmi(design, key);
}

/* The last row is another's. */
static size_t lie_row(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                      uint8_t *lengths)
{
    size_t hits = bid_lookup_many(table, keys, n, ids, id_size, lengths);
    if (lie_now())
        memcpy(ids + (n - 1) * id_size, ids, id_size);
    return hits;
}

struct lie_walk {
    bid_visit visit;
    void *argument;
};

static int lie_visit_twice(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct lie_walk *walk = argument;
    int stop = walk->visit(walk->argument, key, status, id);
    return stop || !lie_now() ? stop : walk->visit(walk->argument, key, status, id);
}

static int lie_iterate(const struct bid_table *table, bid_visit visit, void *argument)
{
    return bid_iterate(table, lie_visit_twice, &(struct lie_walk){visit, argument});
}

static size_t lie_keys(const struct bid_table *table, uint64_t *keys, size_t capacity)
{
    size_t n = bid_keys(table, keys, capacity);
    return n ? n - 1 : n;
}

static int lie_statistics(const struct bid_table *table, struct bid_stats *stats)
{
    int status = bid_statistics(table, stats);
    stats->entries = 0;
    return status;
}

static int lie_insert_many(struct bid_table *table, const uint64_t *keys, size_t n, const uint8_t *ids, size_t id_size,
                           const uint8_t *lengths, size_t *inserted)
{
    int status = bid_insert_many(table, keys, n - 1, ids, id_size, lengths, inserted);
    ++*inserted;
    return status;
}

static int lie_upsert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    int status = bid_upsert(table, key, generation, id, length);
    return lie_now() ? BID_OK : status;
}

/* Any generation will do. */
static int lie_remove_generation(struct bid_table *table, uint64_t key, uint32_t generation)
{
    int status = bid_remove_generation(table, key, generation);
    return status == BID_STALE ? bid_remove(table, key) : status;
}

static const struct {
    const char *name, *summary;
    struct bid_design lie; /* what is not NULL here replaces ours */
    struct storm_forms form;
} lies[] = {
    {"lying-absent", "says absent where there is an entry", {.lookup = lie_absent}, {0}},
    {"lying-torn", "gives half of a build ID", {.lookup = lie_torn}, {0}},
    {"lying-back", "gives what it had given earlier", {.lookup = lie_back}, {0}},
    {"lying-stale", "gives the build ID of another generation", {.lookup_generation = lie_stale}, {0}},
    {"lying-lost", "loses an insert", {.insert = lie_lost}, {0}},
    {"lying-errno", "changes errno in a lookup", {.lookup = lie_errno}, {0}},
    {"lying-long", "reads more slots than its bound", {.lookup = lie_long}, {0}},
    {"lying-refused", "refuses a replace without need", {.replace = lie_refused}, {0}},
    {"lying-twice", "removes what was removed already", {.remove = lie_twice}, {0}},
    {"lying-count", "counts one entry too many", {.count = lie_count}, {0}},
    {"lying-death", "dies in a remove", {.remove = lie_death}, {0}},
    {"lying-call", "makes a system call in a lookup", {.lookup = lie_call}, {0}},
    {"lying-call-nmi", "makes a system call in a remove for NMI context", {.remove_nmi = lie_call_nmi}, {0}},
    {"lying-row", "gives the row of one key to another", {0}, {.lookup_many = lie_row}},
    {"lying-visit", "visits an entry twice", {0}, {.iterate = lie_iterate}},
    {"lying-keys", "leaves a key out of the list", {0}, {.keys = lie_keys}},
    {"lying-statistics", "sees no entries in its statistics", {0}, {.statistics = lie_statistics}},
    {"lying-batch", "leaves out the last of a batch", {0}, {.insert_many = lie_insert_many}},
    {"lying-upsert", "says that it inserted where it replaced", {0}, {.upsert = lie_upsert}},
    {"lying-generation", "removes any generation", {0}, {.remove_generation = lie_remove_generation}},
};

#define LIES (sizeof lies / sizeof *lies)

/* A lie replaces ours, function by function. */
#define LIE(of, name) ((of).name = lie->name ? lie->name : (of).name)

const struct bid_design *lie_design(unsigned i)
{
    static struct bid_design made[LIES];
    if (i >= LIES)
        return NULL;
    const struct bid_design *lie = &lies[i].lie;
    made[i] = bid_design_ours;
    made[i].name = lies[i].name;
    made[i].summary = lies[i].summary;
    LIE(made[i], lookup), LIE(made[i], lookup_generation), LIE(made[i], insert), LIE(made[i], replace);
    LIE(made[i], remove), LIE(made[i], remove_nmi), LIE(made[i], count);
    return &made[i];
}

const struct storm_forms storm_forms_ours = {
    .lookup_many = bid_lookup_many,
    .iterate = bid_iterate,
    .keys = bid_keys,
    .statistics = bid_statistics,
    .insert_many = bid_insert_many,
    .upsert = bid_upsert,
    .remove_generation = bid_remove_generation,
};

const struct storm_forms *lie_forms(const struct bid_design *design)
{
    static struct storm_forms made;
    made = storm_forms_ours;
    if (design == &bid_design_ours)
        return &made;
    for (unsigned i = 0; i < LIES; i++) {
        const struct storm_forms *lie = &lies[i].form;
        if (lie_design(i) != design)
            continue;
        LIE(made, lookup_many), LIE(made, iterate), LIE(made, keys), LIE(made, statistics);
        LIE(made, insert_many), LIE(made, upsert), LIE(made, remove_generation);
        return &made;
    }
    return NULL;
}
