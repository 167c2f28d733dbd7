/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sweeps: operations that say something of all entries, bid_iterate(), bid_keys(), counts and statistics, and what the
 * oracle says of their answers. All but the statistics also run in handlers: they do not allocate, lock or use TLS.
 */
#define _GNU_SOURCE
#include "sweep.h"
#include "judge.h"

#include <stdlib.h>

enum {
    SWEEP_STEADY = 0x80,
    SWEEP_SEEN = 0x7f
}; /* state of a key: STEADY: no update of it was under way when the sweep began; SEEN: how often it was seen */

/* One sweep. The arrays have an element for each key; the contested keys come last. */
struct sweep {
    struct storm_thread *thread;
    int level;
    enum storm_operation operation;
    struct oracle *oracle;
    uint64_t total;
    uint64_t *lowest; /* the oldest legal version */
    uint64_t *listed; /* for bid_keys() */
    uint8_t *state;
};

static uint64_t total(const struct storm *storm)
{
    return storm->oracle.n + ORACLE_CONTESTED;
}

int sweep_prepare(struct storm_thread *thread)
{
    for (int level = 0; level < STORM_LEVELS; level++) {
        thread->sweep_words[level] = calloc(2 * total(thread->storm), sizeof(uint64_t));
        thread->sweep_bytes[level] = calloc(total(thread->storm), 1);
        if (!thread->sweep_words[level] || !thread->sweep_bytes[level])
            return -1;
    }
    return 0;
}

static void sweep_complain(const struct sweep *sweep, uint64_t key, uint64_t lowest, uint64_t highest, uint64_t version,
                           int status)
{
    struct storm_complaint complaint = {key, lowest, highest, version, status, 0, 0, sweep->operation};
    judge_complain(sweep->thread, sweep->level, complaint);
}

/* A steady key was announced by nobody when it was last done: `begun` is read after `done`. */
static struct sweep sweep_begin(struct storm_thread *thread, int level, enum storm_operation operation)
{
    struct oracle *oracle = &thread->storm->oracle;
    struct sweep sweep = {.thread = thread, .level = level, .operation = operation, .oracle = oracle};
    sweep.total = total(thread->storm);
    sweep.lowest = thread->sweep_words[level];
    sweep.listed = sweep.lowest + sweep.total;
    sweep.state = thread->sweep_bytes[level];
    for (uint64_t i = 0; i < sweep.total; i++) {
        sweep.state[i] = 0;
        if (i >= oracle->n)
            continue;
        sweep.lowest[i] = oracle_lowest(&oracle->keys[i]);
        if (sweep.lowest[i] == oracle_highest(&oracle->keys[i]) &&
            sweep.lowest[i] == atomic_load_explicit(&oracle->keys[i].done, memory_order_acquire))
            sweep.state[i] = SWEEP_STEADY;
    }
    return sweep;
}

/* Returns the number of the key. Complains if the key is unknown, or was seen before in this sweep. */
static uint64_t sweep_see(struct sweep *sweep, uint64_t key)
{
    uint64_t number = oracle_find(sweep->oracle, key);
    if (number == ORACLE_NOBODY)
        sweep_complain(sweep, key, 0, 0, UINT64_MAX, BID_OK);
    else if (sweep->state[number] & SWEEP_SEEN)
        sweep_complain(sweep, key, 0, 0, UINT64_MAX, BID_EXISTS);
    else
        sweep->state[number]++;
    return number;
}

/* A key that was steady throughout must have been seen if it has an entry, and otherwise not. */
static void sweep_end(struct sweep *sweep)
{
    for (uint64_t i = 0; i < sweep->oracle->n; i++) {
        struct oracle_key *key = &sweep->oracle->keys[i];
        uint64_t version = sweep->lowest[i];
        struct bid_build_id id;
        if (!(sweep->state[i] & SWEEP_STEADY) || oracle_highest(key) != version)
            continue;
        int seen = sweep->state[i] & SWEEP_SEEN, there = oracle_state(key, version, &id) != BID_ABSENT;
        if (seen != there)
            sweep_complain(sweep, key->key, version, version, UINT64_MAX, seen ? BID_OK : BID_ABSENT);
    }
}

static int sweep_visit(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct sweep *sweep = argument;
    uint64_t number = sweep_see(sweep, key), version;
    if (number == ORACLE_NOBODY)
        return 0;
    if (number >= sweep->oracle->n) {
        const struct oracle_contested *contested = &sweep->oracle->contested[number - sweep->oracle->n];
        if (!oracle_judge_contested(contested, status, id, &version))
            sweep_complain(sweep, key, 4, oracle_highest(&contested->key), version, status);
        return 0;
    }
    struct oracle_key *known = &sweep->oracle->keys[number];
    uint64_t highest = oracle_highest(known);
    if (oracle_judge(known, sweep->lowest[number], highest, status, id, &version))
        oracle_remember(known, version);
    else
        sweep_complain(sweep, key, sweep->lowest[number], highest, version, status);
    return 0;
}

void sweep_iterate(struct storm_thread *thread, int level)
{
    struct sweep sweep = sweep_begin(thread, level, STORM_iterate);
    struct judge_call call = judge_enter(thread, level, STORM_iterate, STORM_IN_LOOKUP);
    int status = thread->storm->forms->iterate(thread->storm->table, sweep_visit, &sweep);
    judge_leave(thread, level, call);
    if (status != BID_OK)
        sweep_complain(&sweep, 0, 0, 0, UINT64_MAX, status);
    sweep_end(&sweep);
}

/* With room for all keys; or with room for one, and then no more than one may be written. */
void sweep_keys(struct storm_thread *thread, int level)
{
    struct sweep sweep = sweep_begin(thread, level, STORM_keys);
    size_t capacity = oracle_random(&thread->random[level]) % 4 ? sweep.total : 1;
    sweep.listed[1] = 0;
    struct judge_call call = judge_enter(thread, level, STORM_keys, STORM_IN_LOOKUP);
    size_t n = thread->storm->forms->keys(thread->storm->table, sweep.listed, capacity);
    judge_leave(thread, level, call);
    if (n > sweep.total || (capacity == 1 && sweep.listed[1]))
        sweep_complain(&sweep, 0, 0, sweep.total, n, BID_EXISTS);
    for (size_t i = 0; i < n && i < capacity; i++)
        sweep_see(&sweep, sweep.listed[i]);
    if (capacity == sweep.total)
        sweep_end(&sweep);
}

/* A count is at least the number of keys that never change, and at most all keys and one for each update under way. */
static void sweep_judge_count(const struct sweep *sweep, uint64_t n)
{
    const struct storm *storm = sweep->thread->storm;
    uint64_t fewest = (storm->real + STORM_STEADY_KEYS - 1) / STORM_STEADY_KEYS;
    if (n < fewest || n > total(storm) + STORM_WORKERS * STORM_LEVELS)
        sweep_complain(sweep, 0, fewest, total(storm), n, BID_E_TOO_MANY);
}

void sweep_count(struct storm_thread *thread, int level)
{
    const struct bid_table *table = thread->storm->table;
    struct sweep sweep = {.thread = thread, .level = level, .operation = STORM_count};
    struct judge_call call = judge_enter(thread, level, STORM_count, STORM_IN_LOOKUP);
    uint64_t count = thread->storm->design->count(table), resizes = thread->storm->design->resizes(table);
    int resizing = thread->storm->design->resizing(table);
    judge_leave(thread, level, call);
    judge_count_operation(thread, level, STORM_resizes);
    judge_count_operation(thread, level, STORM_resizing);
    sweep_judge_count(&sweep, count);
    sweep.operation = STORM_resizes;
    if (resizes < thread->resizes || (resizing != 0 && resizing != 1))
        sweep_complain(&sweep, 0, thread->resizes, resizes, resizes, resizing);
    if (!level)
        thread->resizes = resizes;
}

void sweep_statistics(struct storm_thread *thread)
{
    struct bid_stats stats = {.size = sizeof stats};
    struct sweep sweep = {.thread = thread, .operation = STORM_statistics};
    struct storm_tally *tally = &thread->shared->tally[0];
    judge_count_operation(thread, 0, STORM_statistics);
    int status = thread->storm->forms->statistics(thread->storm->table, &stats);
    if (status != BID_OK || stats.resizes < thread->resizes || stats.retired_arrays > BID_RETIRED_MAX)
        sweep_complain(&sweep, 0, thread->resizes, stats.resizes, UINT64_MAX, status);
    thread->resizes = stats.resizes;
    sweep_judge_count(&sweep, stats.entries);
    tally->max_slots = stats.max_slots_read > tally->max_slots ? stats.max_slots_read : tally->max_slots;
    tally->max_records = stats.max_records_read > tally->max_records ? stats.max_records_read : tally->max_records;
}
