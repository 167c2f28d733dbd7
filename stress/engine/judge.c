/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups of every kind, each put to the oracle. Handlers run this: nothing here allocates, locks or uses TLS. */
#define _GNU_SOURCE
#include "judge.h"

#define JUDGE_ABSENT_KEYS 1024 /* that nobody ever inserts */

/* The fences keep the compiler from moving the mark. */
void judge_mark(struct storm_thread *thread, int level, enum storm_place place)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&thread->place[level], place, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Every lookup stands between these two, so that handlers and the watchdog see it. */
static void enter_lookup(struct storm_thread *thread, int level)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    __atomic_store_n(&tally->begun, tally->begun + 1, __ATOMIC_RELEASE);
    judge_mark(thread, level, STORM_IN_LOOKUP);
}

static void leave_lookup(struct storm_thread *thread, int level)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    judge_mark(thread, level, STORM_ELSEWHERE);
    __atomic_store_n(&tally->ended, tally->begun, __ATOMIC_RELEASE);
}

enum storm_place judge_interrupted(const struct storm_thread *thread, int level)
{
    return level ? (enum storm_place)atomic_load_explicit(&thread->place[level - 1], memory_order_relaxed)
                 : STORM_ELSEWHERE;
}

static void complain(struct storm_thread *thread, int level, struct storm_complaint complaint)
{
    struct storm_shared *shared = thread->storm->shared;
    uint64_t number = __atomic_fetch_add(&shared->complaints, 1, __ATOMIC_RELAXED);
    thread->shared->tally[level].wrong++;
    complaint.level = (uint32_t)level;
    complaint.place = (uint32_t)judge_interrupted(thread, level);
    if (number < STORM_COMPLAINTS)
        shared->complaint[number] = complaint;
}

/* Half of the lookups are measured: with and without are two functions of the table. */
static int look_up_key(struct storm_thread *thread, int level, uint64_t key, struct bid_build_id *id)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    struct bid_probe_cost cost = {0, 0}, *measured = oracle_random(&thread->random[level]) % 2 ? &cost : NULL;
    enter_lookup(thread, level);
    int status = thread->storm->design->lookup(thread->storm->table, key, id, measured);
    leave_lookup(thread, level);
    if (cost.slots > tally->max_slots)
        tally->max_slots = cost.slots;
    if (cost.records > tally->max_records)
        tally->max_records = cost.records;
    return status;
}

void judge_lookup(struct storm_thread *thread, int level, uint64_t number)
{
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id = {0};
    uint64_t version, lowest = oracle_lowest(key);
    int status = look_up_key(thread, level, key->key, &id);
    uint64_t highest = oracle_highest(key);
    if (oracle_judge(key, lowest, highest, status, &id, &version))
        oracle_remember(key, version);
    else
        complain(thread, level, (struct storm_complaint){key->key, lowest, highest, version, status, 0, 0});
}

/* Asks for the generation of the oldest legal version, or of a neighbour of it. */
void judge_lookup_generation(struct storm_thread *thread, int level, uint64_t number)
{
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id = {0};
    uint64_t version, lowest = oracle_lowest(key);
    uint32_t generation = (uint32_t)(lowest + 1 - oracle_random(&thread->random[level]) % 3);
    enter_lookup(thread, level);
    int status = thread->storm->design->lookup_generation(thread->storm->table, key->key, generation, &id);
    leave_lookup(thread, level);
    uint64_t highest = oracle_highest(key);
    if (oracle_judge_generation(key, lowest, highest, generation, status, &id, &version))
        oracle_remember(key, version);
    else
        complain(thread, level, (struct storm_complaint){key->key, lowest, highest, version, status, 0, 0});
}

void judge_lookup_absent(struct storm_thread *thread, int level)
{
    struct bid_build_id id;
    uint64_t key = UINT64_MAX - 1 - oracle_random(&thread->random[level]) % JUDGE_ABSENT_KEYS;
    int status = look_up_key(thread, level, key, &id);
    if (status != BID_ABSENT)
        complain(thread, level, (struct storm_complaint){key, 0, 0, UINT64_MAX, status, 0, 0});
}

void judge_lookup_contested(struct storm_thread *thread, int level, uint64_t number)
{
    const struct oracle_contested *contested = &thread->storm->oracle.contested[number];
    struct bid_build_id id = {0};
    uint64_t version;
    int status = look_up_key(thread, level, contested->key.key, &id);
    if (!oracle_judge_contested(contested, status, &id, &version))
        complain(
            thread, level,
            (struct storm_complaint){contested->key.key, 4, oracle_highest(&contested->key), version, status, 0, 0});
}
