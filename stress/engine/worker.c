/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The threads of a storm: they look up or churn, and signal handlers interrupt them and look up, and update, in turn.
 *
 * Nothing that a handler runs allocates, locks or uses TLS (but for errno, which the thread has used before): it finds
 * its thread's data through the signal's cookie.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKER_STEADY_KEYS 8 /* of so many real keys one is never changed */
#define WORKER_ERRNO 4711    /* what a handler puts into errno must still be there after its lookups */
#define WORKER_ALT_STACK (256u << 10)

/* ------------------------------------------------------------------------------------- contested updates -- */

static void update_failed(struct storm_thread *thread, int status)
{
    struct storm_shared *shared = thread->storm->shared;
    if (__atomic_fetch_add(&shared->errors, 1, __ATOMIC_RELAXED) == 0)
        shared->first_error = status;
}

/* A handler has the forms for NMI context, and none of a replace. */
static int contest_once(struct storm_thread *thread, int level, struct oracle_contested *contested, unsigned choice,
                        int *change)
{
    const struct bid_design *design = thread->storm->design;
    struct oracle_key *key = &contested->key;
    void *table = thread->storm->table;
    struct bid_build_id id;
    *change = choice == 0 ? -1 : choice == 1;
    if (choice == 0)
        return (level ? design->remove_nmi : design->remove)(table, key->key);
    oracle_state(key, oracle_version(contested), &id);
    return (level         ? design->insert_nmi
            : choice == 1 ? design->insert
                          : design->replace)(table, key->key, id.generation, id.bytes, id.length);
}

/* The director looks at this while the storm is under way. */
static void count_update(struct storm_tally *tally)
{
    __atomic_store_n(&tally->updates, tally->updates + 1, __ATOMIC_RELAXED);
}

/* Removes, inserts or replaces a key that others update as well; in a handler the one that its thread is contesting. */
static void contest(struct storm_thread *thread, int level, uint64_t number)
{
    struct storm_tally *tally = &thread->shared->tally[level];
    struct oracle_contested *contested = &thread->storm->oracle.contested[number];
    uint64_t random = oracle_random(&thread->random[level]);
    int change;
    if (level && !thread->storm->design->insert_nmi)
        return;
    judge_mark(thread, level, STORM_IN_UPDATE);
    int status = contest_once(thread, level, contested, (unsigned)(random >> 32) % (level ? 2 : 3), &change);
    judge_mark(thread, level, STORM_ELSEWHERE);
    count_update(tally);
    if (status == BID_OK)
        atomic_fetch_add_explicit(&contested->balance, change, memory_order_relaxed);
    else if (status == BID_E_RETIRED || (level && status == BID_E_WOULD_ALLOCATE))
        tally->refused++;
    else if (status != BID_EXISTS && status != BID_ABSENT)
        update_failed(thread, status);
}

/* --------------------------------------------------------------------------------------------- handlers -- */

static void count_landing(struct storm_thread *thread, int level, enum storm_source source)
{
    const struct bid_design *design = thread->storm->design;
    struct storm_tally *tally = &thread->shared->tally[level];
    int place = judge_interrupted(thread, level);
    tally->interruptions[source]++;
    tally->landed_in_lookup += place == STORM_IN_LOOKUP;
    if (place != STORM_IN_UPDATE)
        return;
    tally->landed_in_update++;
    tally->landed_in_resize += design->resizing && design->resizing(thread->storm->table);
}

/* The keys that the thread is busy with; the neighbour of one, a random one, an absent one. Every fourth handler updates. */
static void look_around(struct storm_thread *thread, int level)
{
    uint64_t contested = atomic_load_explicit(&thread->contested, memory_order_relaxed);
    uint64_t n = thread->storm->oracle.n, current = atomic_load_explicit(&thread->current, memory_order_relaxed);
    judge_lookup(thread, level, current);
    judge_lookup_generation(thread, level, current);
    judge_lookup(thread, level, (current + 1) % n);
    judge_lookup(thread, level, oracle_random(&thread->random[level]) % n);
    judge_lookup_contested(thread, level, contested);
    judge_lookup_absent(thread, level);
    if (oracle_random(&thread->random[level]) % 4 == 0)
        contest(thread, level, contested);
    judge_lookup_contested(thread, level, contested);
}

/* Each of STORM_SOURCES signals blocks itself, so the level stays below STORM_LEVELS. */
static void handle(enum storm_source source, siginfo_t *info)
{
    struct storm_thread *thread = source_cookie(source, info);
    int saved = errno, level = atomic_fetch_add_explicit(&thread->level, 1, memory_order_relaxed) + 1;
    count_landing(thread, level, source);
    errno = WORKER_ERRNO;
    look_around(thread, level);
    thread->shared->tally[level].errno_changed += errno != WORKER_ERRNO;
    atomic_fetch_sub_explicit(&thread->level, 1, memory_order_relaxed);
    errno = saved;
}

static void handle_perf(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    handle(STORM_PERF, info);
}

static void handle_timer(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    handle(STORM_TIMER, info);
}

static void handle_directed(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    handle(STORM_DIRECTED, info);
}

/* Each signal blocks itself only, so handlers nest; the timer's and the directed one run on the alternate stack. */
int worker_install_handlers(void)
{
    static void (*const handlers[STORM_SOURCES])(int, siginfo_t *, void *) = {
        [STORM_PERF] = handle_perf, [STORM_TIMER] = handle_timer, [STORM_DIRECTED] = handle_directed};
    for (int source = 0; source < STORM_SOURCES; source++) {
        struct sigaction action = {.sa_sigaction = handlers[source]};
        action.sa_flags = SA_SIGINFO | SA_RESTART | (source == STORM_PERF ? 0 : SA_ONSTACK);
        sigemptyset(&action.sa_mask);
        if (sigaction(source_signal(source), &action, NULL) != 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ churn -- */

static int update_once(struct storm_thread *thread, const struct oracle_key *key, int was, int becomes,
                       const struct bid_build_id *id)
{
    const struct bid_design *design = thread->storm->design;
    void *table = thread->storm->table;
    if (becomes == BID_ABSENT)
        return design->remove(table, key->key);
    return (was == BID_ABSENT ? design->insert : design->replace)(table, key->key, id->generation, id->bytes,
                                                                  id->length);
}

/* Takes a key to its next version. A refusal for memory that waits for readers is tried again. */
static void advance(struct storm_thread *thread, uint64_t number)
{
    struct storm_tally *tally = &thread->shared->tally[0];
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id, old;
    uint64_t version = atomic_load_explicit(&key->done, memory_order_relaxed) + 1;
    int was = oracle_state(key, version - 1, &old), becomes = oracle_state(key, version, &id), status;
    atomic_store_explicit(&thread->current, number, memory_order_relaxed);
    atomic_store_explicit(&key->begun, version, memory_order_release);
    for (;;) {
        judge_mark(thread, 0, STORM_IN_UPDATE);
        status = update_once(thread, key, was, becomes, &id);
        judge_mark(thread, 0, STORM_ELSEWHERE);
        if (status != BID_E_RETIRED)
            break;
        tally->refused++;
        sched_yield();
    }
    atomic_store_explicit(&key->done, version, memory_order_release);
    count_update(tally);
    if (status != BID_OK)
        update_failed(thread, status);
}

/* Reserve, shrink and reclaim: what entries alone do not bring about. */
static void maintain(struct storm_thread *thread, uint64_t random)
{
    const struct bid_design *design = thread->storm->design;
    void *table = thread->storm->table;
    int status = BID_OK;
    judge_mark(thread, 0, STORM_IN_UPDATE);
    if (random % 3 == 0 && design->reserve)
        status = design->reserve(table, random / 3 % (4 * thread->storm->oracle.n));
    else if (random % 3 == 1 && design->shrink)
        status = design->shrink(table);
    else if (design->reclaim)
        design->reclaim(table);
    judge_mark(thread, 0, STORM_ELSEWHERE);
    if (status < 0 && status != BID_E_RETIRED)
        update_failed(thread, status);
}

/* A churner owns every key whose number leaves its own rest, but for the steady ones. */
static void churn(struct storm_thread *thread)
{
    struct storm *storm = thread->storm;
    uint64_t random = oracle_random(&thread->random[0]), n = storm->oracle.n, churners = storm->config.churners;
    if (random % 4096 == 0)
        maintain(thread, random >> 12);
    if (random % 8 == 1) {
        uint64_t contested = (random >> 16) % ORACLE_CONTESTED;
        atomic_store_explicit(&thread->contested, contested, memory_order_relaxed);
        contest(thread, 0, contested);
    }
    if (random % 16384 < 2)
        thread->growing = !thread->growing;
    uint64_t number = (random >> 16) % (n / churners) * churners + thread->number;
    const struct oracle_key *key = &storm->oracle.keys[number];
    if (number < storm->real && number % WORKER_STEADY_KEYS == 0)
        return;
    struct bid_build_id id;
    int present = oracle_state(key, atomic_load_explicit(&key->done, memory_order_relaxed), &id) != BID_ABSENT;
    if (present != thread->growing || (random >> 8) % 4 == 0)
        advance(thread, number);
}

/* ---------------------------------------------------------------------------------------------- threads -- */

static void pin_to_processor(unsigned number)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    unsigned wanted = number % (unsigned)CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && wanted-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

static void look_up_something(struct storm_thread *thread)
{
    uint64_t random = oracle_random(&thread->random[0]), number = (random >> 8) % thread->storm->oracle.n;
    if (random % 16 == 0)
        judge_lookup_absent(thread, 0);
    else if (random % 16 == 1)
        judge_lookup_contested(thread, 0, number % ORACLE_CONTESTED);
    else if (random % 16 < 5)
        judge_lookup_generation(thread, 0, number);
    else
        judge_lookup(thread, 0, number);
}

/* A signal that was directed at the thread may still be on its way. */
static void leave_stack(const stack_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sigaltstack(before, NULL);
}

void *worker_run(void *argument)
{
    struct storm_thread *thread = argument;
    struct storm *storm = thread->storm;
    stack_t before = {.ss_flags = SS_DISABLE}, stack = {.ss_size = WORKER_ALT_STACK, .ss_sp = malloc(WORKER_ALT_STACK)};
    if (!stack.ss_sp || sigaltstack(&stack, &before) != 0)
        update_failed(thread, BID_E_NO_MEMORY);
    __atomic_store_n(&thread->shared->tid, (int32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    pin_to_processor(thread->number);
    uint32_t perf_errno = 0;
    uint32_t armed = source_arm(&thread->sources, storm->config.sources, STORM_PERIOD_US, thread, &perf_errno);
    __atomic_fetch_or(&storm->shared->sources, armed, __ATOMIC_RELAXED);
    __atomic_fetch_or(&storm->shared->perf_errno, perf_errno, __ATOMIC_RELAXED); /* the same for all threads */
    atomic_store_explicit(&thread->armed, 1, memory_order_release);
    while (!atomic_load_explicit(&storm->stop, memory_order_acquire)) /* from then on the director leaves the sources */
        if (thread->churner)
            churn(thread);
        else
            look_up_something(thread);
    source_disarm(&thread->sources);
    leave_stack(&before);
    free(stack.ss_sp);
    return NULL;
}
