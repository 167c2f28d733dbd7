/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Each function of the table that updates is called here, in forms that the same state allows. Handlers run
 * churn_contest(): nothing there allocates, locks or uses TLS.
 */
#define _GNU_SOURCE
#include "churn.h"
#include "judge.h"
#include "sweep.h"

#include <sched.h>

void churn_failed(struct storm_thread *thread, int status)
{
    struct storm_shared *shared = thread->storm->shared;
    if (__atomic_fetch_add(&shared->errors, 1, __ATOMIC_RELAXED) == 0)
        shared->first_error = status;
}

/* Counts an update. The director reads the number while the storm is under way, hence the atomic store. */
static void count_update(struct storm_tally *tally)
{
    __atomic_store_n(&tally->updates, tally->updates + 1, __ATOMIC_RELAXED);
}

/* Whether an update was refused for the number of entries: by max_entries, or by a rival that does not grow. */
static int is_over_limit(const struct storm_thread *thread, int status)
{
    return status == BID_E_MAX_ENTRIES && (!thread->storm->forms || thread->storm->config.options.max_entries);
}

/* Whether an update was refused for good: an updater that was stopped for good keeps memory from being freed. */
static int is_stalled(const struct storm_thread *thread, int status)
{
    return status == BID_E_RETIRED && thread->storm->config.trial == STORM_STOPPED;
}

/* ------------------------------------------------------------------------------------------- single calls -- */

struct update {
    enum storm_operation operation;
    uint64_t key;
    const struct bid_build_id *id; /* what is to be there; or of which only the generation is used */
};

static int call_update(const struct storm *storm, const struct update *update)
{
    const struct bid_design *design = storm->design;
    const struct bid_build_id *id = update->id;
    void *table = storm->table;
    switch (update->operation) {
    case STORM_insert:
        return design->insert(table, update->key, id->generation, id->bytes, id->length);
    case STORM_insert_nmi:
        return design->insert_nmi(table, update->key, id->generation, id->bytes, id->length);
    case STORM_replace:
        return design->replace(table, update->key, id->generation, id->bytes, id->length);
    case STORM_upsert:
        return storm->forms->upsert(table, update->key, id->generation, id->bytes, id->length);
    case STORM_remove_nmi:
        return design->remove_nmi(table, update->key);
    case STORM_remove_generation:
        return storm->forms->remove_generation(table, update->key, id->generation);
    default:
        return design->remove(table, update->key);
    }
}

static int do_update(struct storm_thread *thread, int level, struct update update)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    __atomic_store_n(&tally->entered, tally->entered + 1, __ATOMIC_RELEASE); /* for the watchdog */
    struct judge_call call = judge_enter(thread, level, update.operation, STORM_IN_UPDATE);
    int status = call_update(thread->storm, &update);
    judge_leave(thread, level, call);
    __atomic_store_n(&tally->left, tally->entered, __ATOMIC_RELEASE);
    tally->full += status == BID_E_MAX_ENTRIES;
    return status;
}

/* ------------------------------------------------------------------------------------------ contested keys -- */

/* An update of a contested key. Every design has the first three; handlers use the last two. */
static enum storm_operation draw_contest(const struct storm *storm, int level, uint64_t random)
{
    static const uint8_t all[] = {
        STORM_remove,     STORM_insert,    STORM_replace, STORM_upsert, STORM_remove_generation,
        STORM_remove_nmi, STORM_insert_nmi};
    unsigned n = storm->forms ? sizeof all : 3;
    return level ? all[sizeof all - 1 - random % 2] : all[random % n];
}

static int removes(enum storm_operation operation)
{
    return operation == STORM_remove || operation == STORM_remove_nmi || operation == STORM_remove_generation;
}

/* What an update that was done did to the number of entries of its key. */
static int change_of(enum storm_operation operation, int status)
{
    if (status != BID_OK || operation == STORM_replace)
        return 0;
    return removes(operation) ? -1 : 1;
}

/* A limit on entries refuses neither removes nor replaces. */
static int is_refusal(const struct storm_thread *thread, enum storm_operation operation, int status)
{
    if (is_over_limit(thread, status))
        return !removes(operation) && operation != STORM_replace;
    if (operation == STORM_insert_nmi || operation == STORM_remove_nmi)
        return status == BID_E_WOULD_ALLOCATE || (!thread->storm->forms && status == BID_E_RETIRED);
    return status == BID_E_RETIRED;
}

/* The statuses of an update that was not refused, whatever others have made of its key. */
static int is_an_answer(enum storm_operation operation, int status)
{
    return status == BID_OK || status == BID_ABSENT || status == BID_EXISTS ||
           (status == BID_STALE && operation == STORM_remove_generation);
}

void churn_contest(struct storm_thread *thread, int level, uint64_t number)
{
    struct storm *storm = thread->storm;
    struct storm_tally *tally = &thread->shared->tally[level];
    struct oracle_contested *contested = &storm->oracle.contested[number];
    struct bid_build_id id;
    if (level && !storm->forms && (!storm->design->insert_nmi || storm->config.trial != STORM_HANDLERS_UPDATE))
        return;
    enum storm_operation operation = draw_contest(storm, level, oracle_random(&thread->random[level]) >> 32);
    uint64_t version =
        operation == STORM_remove_generation ? oracle_highest(&contested->key) : oracle_version(contested);
    oracle_state(&contested->key, version, &id);
    int status = do_update(thread, level, (struct update){operation, contested->key.key, &id});
    count_update(tally);
    atomic_fetch_add_explicit(&contested->balance, change_of(operation, status), memory_order_relaxed);
    if (is_refusal(thread, operation, status))
        tally->refused++;
    else if (!is_an_answer(operation, status))
        churn_failed(thread, status);
}

/* ------------------------------------------------------------------------------------------------ own keys -- */

/* A way to bring about the next state of a key, where only its owner updates it. */
static enum storm_operation draw_own(struct storm_thread *thread, int was, int becomes)
{
    static const uint8_t ends[] = {STORM_remove, STORM_remove, STORM_remove_generation, STORM_remove_nmi};
    static const uint8_t inserts[] = {STORM_insert, STORM_insert, STORM_upsert, STORM_insert_nmi};
    static const uint8_t replaces[] = {STORM_replace, STORM_replace, STORM_replace, STORM_upsert};
    const uint8_t *ways = becomes == BID_ABSENT ? ends : was == BID_ABSENT ? inserts : replaces;
    return ways[thread->storm->forms ? oracle_random(&thread->random[0]) % 4 : 0];
}

/* Returns BID_OK if the update did what it had to, else a wrong status. An upsert that replaces says BID_EXISTS. */
static int update_once(struct storm_thread *thread, const struct update *update, int was)
{
    int status = do_update(thread, 0, *update);
    if (update->operation != STORM_upsert || was == BID_ABSENT || status < 0)
        return status;
    return status == BID_EXISTS ? BID_OK : BID_EXISTS;
}

/* Removes a key of another generation than it has: nothing may happen. */
static void remove_stale(struct storm_thread *thread, uint64_t key, const struct bid_build_id *now)
{
    struct bid_build_id other = {.generation = now->generation + 1};
    int status = do_update(thread, 0, (struct update){STORM_remove_generation, key, &other});
    if (status != BID_STALE && status != BID_E_RETIRED)
        churn_failed(thread, status);
}

/* Tries until the update is done or has failed. If retired memory is at its limit, some is freed soon. If a form for
 * NMI context has no room, the form for thread context makes it. */
static int update_until_done(struct storm_thread *thread, struct update update, int was)
{
    for (;;) {
        int status = update_once(thread, &update, was);
        if (status == BID_E_WOULD_ALLOCATE && update.operation == STORM_insert_nmi)
            update.operation = STORM_insert;
        else if (status == BID_E_WOULD_ALLOCATE && update.operation == STORM_remove_nmi)
            update.operation = STORM_remove;
        else if (status != BID_E_RETIRED || is_stalled(thread, status))
            return status;
        thread->shared->tally[0].refused++;
        sched_yield();
    }
}

static void announce(struct oracle_key *key, uint64_t version)
{
    atomic_store_explicit(&key->begun, version, memory_order_release);
}

/* Tells the oracle how the update ended. If it was refused for good, it must not have changed anything. */
static void settle(struct oracle_key *key, uint64_t version, int done)
{
    if (done)
        atomic_store_explicit(&key->done, version, memory_order_release);
    else
        announce(key, version - 1);
}

/* Takes a key to its next version. */
static void advance(struct storm_thread *thread, uint64_t number)
{
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id, old;
    uint64_t version = atomic_load_explicit(&key->done, memory_order_relaxed) + 1;
    int was = oracle_state(key, version - 1, &old), becomes = oracle_state(key, version, &id);
    atomic_store_explicit(&thread->current, number, memory_order_relaxed);
    announce(key, version);
    struct update update = {draw_own(thread, was, becomes), key->key, becomes == BID_ABSENT ? &old : &id};
    if (update.operation == STORM_remove_generation)
        remove_stale(thread, key->key, &old);
    int status = update_until_done(thread, update, was),
        refused = is_stalled(thread, status) || (was == BID_ABSENT && is_over_limit(thread, status));
    settle(key, version, !refused);
    count_update(&thread->shared->tally[0]);
    thread->shared->tally[0].refused += (uint64_t)refused;
    if (status != BID_OK && !refused)
        churn_failed(thread, status);
}

/* ------------------------------------------------------------------------------------------------- batches -- */

struct batch {
    size_t n;
    struct oracle_key *keys[STORM_BATCH];
    uint64_t versions[STORM_BATCH], names[STORM_BATCH];
    uint8_t ids[STORM_BATCH][BID_ID_MAX], lengths[STORM_BATCH];
};

/* Announces all keys of a thread's batch that are absent. */
static void batch_begin(struct storm_thread *thread, struct batch *batch)
{
    struct oracle_key *keys = &thread->storm->oracle.keys[thread->storm->single + thread->number * STORM_BATCH];
    batch->n = 0;
    for (unsigned i = 0; i < STORM_BATCH; i++) {
        struct bid_build_id id;
        uint64_t version = atomic_load_explicit(&keys[i].done, memory_order_relaxed) + 1;
        if (oracle_state(&keys[i], version, &id) == BID_ABSENT)
            continue;
        size_t n = batch->n++;
        batch->keys[n] = &keys[i];
        batch->versions[n] = version;
        batch->names[n] = keys[i].key;
        batch->lengths[n] = id.length ? id.length : i % 2 ? 0 : BID_LENGTH_NO_BUILD_ID;
        __builtin_memcpy(batch->ids[n], id.bytes, BID_ID_MAX);
        announce(&keys[i], version);
    }
}

/* What was inserted is the first ones, all of them absent before. */
static void batch_insert(struct storm_thread *thread, struct batch *batch)
{
    for (size_t from = 0, inserted; from < batch->n; from += inserted) {
        struct judge_call call = judge_enter(thread, 0, STORM_insert_many, STORM_IN_UPDATE);
        int status = thread->storm->forms->insert_many(thread->storm->table, batch->names + from, batch->n - from,
                                                       batch->ids[from], BID_ID_MAX, batch->lengths + from, &inserted);
        judge_leave(thread, 0, call);
        for (size_t i = from; i < from + inserted && i < batch->n; i++)
            settle(batch->keys[i], batch->versions[i], 1);
        count_update(&thread->shared->tally[0]);
        if (status == BID_OK && from + inserted == batch->n)
            return;
        thread->shared->tally[0].refused++;
        if (status == BID_E_RETIRED && !is_stalled(thread, status)) {
            sched_yield();
            continue;
        }
        if (!is_over_limit(thread, status) && !is_stalled(thread, status))
            churn_failed(thread, status);
        for (size_t i = from + inserted; i < batch->n; i++)
            settle(batch->keys[i], batch->versions[i], 0);
        return;
    }
}

/* Inserts what is absent of it, or removes all. */
static void turn_batch(struct storm_thread *thread)
{
    struct batch batch;
    batch_begin(thread, &batch);
    if (batch.n)
        batch_insert(thread, &batch);
    else
        for (unsigned i = 0; i < STORM_BATCH; i++)
            advance(thread, thread->storm->single + thread->number * STORM_BATCH + i);
}

/* ------------------------------------------------------------------------------------------------- a turn -- */

/* Reserve, shrink and reclaim: what entries alone do not bring about. */
static void maintain(struct storm_thread *thread, uint64_t random)
{
    const struct bid_design *design = thread->storm->design;
    void *table = thread->storm->table;
    enum storm_operation operation = random % 3 == 0 ? STORM_reserve : random % 3 == 1 ? STORM_shrink : STORM_reclaim;
    int status = BID_OK;
    if (!design->reserve || !design->shrink || !design->reclaim)
        return;
    struct judge_call call = judge_enter(thread, 0, operation, STORM_IN_UPDATE);
    if (operation == STORM_reserve)
        status = design->reserve(table, random / 3 % (4 * thread->storm->oracle.n));
    else if (operation == STORM_shrink)
        status = design->shrink(table);
    else
        design->reclaim(table);
    judge_leave(thread, 0, call);
    if (status < 0 && status != BID_E_RETIRED && status != BID_E_BUSY && !is_over_limit(thread, status))
        churn_failed(thread, status);
}

/* A key that the churner owns: each whose number leaves its own rest, but for the steady ones. It grows what it has, or
 * shrinks it. */
static void turn_own(struct storm_thread *thread, uint64_t random)
{
    struct storm *storm = thread->storm;
    uint64_t churners = storm->config.churners;
    uint64_t number = (random >> 16) % (storm->single / churners) * churners + thread->number;
    const struct oracle_key *key = &storm->oracle.keys[number];
    if (number < storm->real && number % STORM_STEADY_KEYS == 0)
        return;
    struct bid_build_id id;
    int present = oracle_state(key, atomic_load_explicit(&key->done, memory_order_relaxed), &id) != BID_ABSENT;
    if (present != thread->growing || (random >> 8) % 4 == 0)
        advance(thread, number);
}

void churn(struct storm_thread *thread)
{
    uint64_t random = oracle_random(&thread->random[0]);
    if (random % 4096 == 0)
        maintain(thread, random >> 12);
    if (random % 8 == 1) {
        uint64_t contested = (random >> 16) % ORACLE_CONTESTED;
        atomic_store_explicit(&thread->contested, contested, memory_order_relaxed);
        churn_contest(thread, 0, contested);
    }
    if (random % 16384 < 2)
        thread->growing = !thread->growing;
    if (thread->storm->forms && random % 1024 == 2)
        turn_batch(thread);
    if (thread->storm->forms && random % 65536 == 3)
        sweep_statistics(thread);
    turn_own(thread, random);
}
