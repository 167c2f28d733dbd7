/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups of every kind, each put to the oracle. Handlers run this: nothing here allocates, locks or uses TLS. */
#define _GNU_SOURCE
#include "judge.h"

#define JUDGE_ABSENT_KEYS 1024 /* that nobody ever inserts */
#define JUDGE_FEW 24           /* keys of one bid_lookup_many(), mostly */
#define JUDGE_MANY 300         /* and now and then: the table holds one pin for 256 */

/* Says where this level is, to the handlers that interrupt it. The fences keep the compiler from moving the mark. */
static void judge_mark(struct storm_thread *thread, int level, enum storm_place place)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&thread->place[level], place, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

void judge_count_operation(struct storm_thread *thread, int level, enum storm_operation operation)
{
    thread->shared->tally[level].operations[operation]++;
}

/* Lookups, and the updates for NMI context. */
static int is_quiet(enum storm_operation operation)
{
    return operation <= STORM_resizes || operation == STORM_insert_nmi || operation == STORM_remove_nmi;
}

struct judge_call judge_enter(struct storm_thread *thread, int level, enum storm_operation operation,
                              enum storm_place place)
{
    struct judge_call call = {is_quiet(operation) && thread->quiet.watched, 0};
    judge_count_operation(thread, level, operation);
    judge_mark(thread, level, place);
    if (call.quiet)
        call.before = quiet_enter(&thread->quiet);
    return call;
}

void judge_leave(struct storm_thread *thread, int level, struct judge_call call)
{
    if (call.quiet)
        quiet_leave(&thread->quiet, call.before);
    judge_mark(thread, level, STORM_ELSEWHERE);
}

/* Every lookup stands between these two, so that the watchdog sees it. */
static struct judge_call enter_lookup(struct storm_thread *thread, int level, enum storm_operation operation)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    __atomic_store_n(&tally->begun, tally->begun + 1, __ATOMIC_RELEASE);
    return judge_enter(thread, level, operation, STORM_IN_LOOKUP);
}

static void leave_lookup(struct storm_thread *thread, int level, struct judge_call call)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    judge_leave(thread, level, call);
    __atomic_store_n(&tally->ended, tally->begun, __ATOMIC_RELEASE);
}

enum storm_place judge_interrupted(const struct storm_thread *thread, int level)
{
    return level ? (enum storm_place)atomic_load_explicit(&thread->place[level - 1], memory_order_relaxed)
                 : STORM_ELSEWHERE;
}

void judge_complain(struct storm_thread *thread, int level, struct storm_complaint complaint)
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
    struct judge_call call = enter_lookup(thread, level, measured ? STORM_lookup_cost : STORM_lookup);
    int status = thread->storm->design->lookup(thread->storm->table, key, id, measured);
    leave_lookup(thread, level, call);
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
        judge_complain(thread, level,
                       (struct storm_complaint){key->key, lowest, highest, version, status, 0, 0, STORM_lookup});
}

/* Asks for the generation of the oldest legal version, or of a neighbour of it. */
void judge_lookup_generation(struct storm_thread *thread, int level, uint64_t number)
{
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id = {0};
    uint64_t version, lowest = oracle_lowest(key);
    uint32_t generation = (uint32_t)(lowest + 1 - oracle_random(&thread->random[level]) % 3);
    struct judge_call call = enter_lookup(thread, level, STORM_lookup_generation);
    int status = thread->storm->design->lookup_generation(thread->storm->table, key->key, generation, &id);
    leave_lookup(thread, level, call);
    uint64_t highest = oracle_highest(key);
    if (oracle_judge_generation(key, lowest, highest, generation, status, &id, &version))
        oracle_remember(key, version);
    else
        judge_complain(
            thread, level,
            (struct storm_complaint){key->key, lowest, highest, version, status, 0, 0, STORM_lookup_generation});
}

void judge_lookup_absent(struct storm_thread *thread, int level)
{
    struct bid_build_id id;
    uint64_t key = UINT64_MAX - 1 - oracle_random(&thread->random[level]) % JUDGE_ABSENT_KEYS;
    int status = look_up_key(thread, level, key, &id);
    if (status != BID_ABSENT)
        judge_complain(thread, level, (struct storm_complaint){key, 0, 0, UINT64_MAX, status, 0, 0, STORM_lookup});
}

void judge_lookup_contested(struct storm_thread *thread, int level, uint64_t number)
{
    const struct oracle_contested *contested = &thread->storm->oracle.contested[number];
    struct bid_build_id id = {0};
    uint64_t version;
    int status = look_up_key(thread, level, contested->key.key, &id);
    if (!oracle_judge_contested(contested, status, &id, &version))
        judge_complain(thread, level,
                       (struct storm_complaint){contested->key.key, 4, oracle_highest(&contested->key), version, status,
                                                0, 0, STORM_lookup});
}

/* The rows of one bid_lookup_many(). */
struct judged_rows {
    size_t n, id_size;
    uint64_t keys[JUDGE_MANY], lowest[JUDGE_MANY];
    uint32_t numbers[JUDGE_MANY];
    uint8_t ids[JUDGE_MANY * BID_ID_MAX], lengths[JUDGE_MANY];
};

/* Returns how many keys have a build ID, by the rows. */
static size_t judge_rows(struct storm_thread *thread, int level, const struct judged_rows *rows)
{
    size_t hits = 0;
    for (size_t i = 0; i < rows->n; i++) {
        struct oracle_key *key = &thread->storm->oracle.keys[rows->numbers[i]];
        uint64_t version, highest = oracle_highest(key);
        hits += rows->lengths[i] && rows->lengths[i] != BID_LENGTH_NO_BUILD_ID;
        if (oracle_judge_row(key, rows->lowest[i], highest, rows->ids + i * rows->id_size, rows->id_size,
                             rows->lengths[i], &version))
            oracle_remember(key, version);
        else
            judge_complain(thread, level,
                           (struct storm_complaint){key->key, rows->lowest[i], highest, version,
                                                    rows->lengths[i] ? BID_OK : BID_ABSENT, 0, 0, STORM_lookup_many});
    }
    return hits;
}

/* Rows as wide as the longest ID, as the usual one, or so narrow that they are cut off. */
void judge_lookup_many(struct storm_thread *thread, int level)
{
    static const uint8_t sizes[] = {BID_ID_MAX, BID_ID_NARROW, BID_ID_NARROW, 5};
    uint64_t random = oracle_random(&thread->random[level]);
    struct judged_rows rows;
    rows.n = random % 16 ? JUDGE_FEW : JUDGE_MANY;
    rows.id_size = sizes[(random >> 8) % sizeof sizes];
    for (size_t i = 0; i < rows.n; i++) {
        rows.numbers[i] = (uint32_t)(oracle_random(&thread->random[level]) % thread->storm->oracle.n);
        const struct oracle_key *key = &thread->storm->oracle.keys[rows.numbers[i]];
        rows.keys[i] = key->key;
        rows.lowest[i] = oracle_lowest(key);
    }
    struct judge_call call = enter_lookup(thread, level, STORM_lookup_many);
    size_t hits = thread->storm->forms->lookup_many(thread->storm->table, rows.keys, rows.n, rows.ids, rows.id_size,
                                                    rows.lengths);
    leave_lookup(thread, level, call);
    if (judge_rows(thread, level, &rows) != hits)
        judge_complain(thread, level, (struct storm_complaint){0, 0, rows.n, hits, BID_OK, 0, 0, STORM_lookup_many});
}
