/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A storm from its beginning to its end, in a child process: fill the table, start the threads, direct signals at them
 * and keep the rate bearable, and with everybody gone compare the whole table with the oracle.
 */
#define _GNU_SOURCE
#include "storm.h"
#include "lies.h"
#include "rcu.h"
#include "sweep.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STORM_EXTRA_KEYS 2        /* keys that begin absent, for each real one: they make the table grow */
#define STORM_PERIOD_MAX_US 20000 /* the rate is not adapted below this */
#define STORM_DIRECTED_NS 200000  /* between two directed signals */
#define STORM_ADAPT_TURNS 1000    /* directed signals between two looks at the threads' progress */
#define STORM_STOP_NS 50000000    /* between two updaters that are stopped for good */
#define STORM_PROGRESS 50         /* lookups and updates that each thread should have made by then */

/* ----------------------------------------------------------------------------------------------- set up -- */

static _Noreturn void fail(struct storm *storm, const char *what, const char *why)
{
    snprintf(storm->shared->failed, sizeof storm->shared->failed, "%s (%s)", what, why);
    __atomic_store_n(&storm->shared->state, STORM_FAILED, __ATOMIC_RELEASE);
    _exit(1);
}

/* The first of the other keys are the two ends of the range. Two equal keys among the rest are as likely as a broken
 * hash of 63 bits. */
static uint64_t extra_key(uint64_t number, uint64_t *random)
{
    return number == 0 ? 0 : number == 1 ? UINT64_MAX : oracle_random(random) >> 1;
}

/* The real keys at version 0, present; then the extra ones and the batches at version 1, absent. */
static void make_oracle(struct storm *storm)
{
    const struct storm_config *config = &storm->config;
    uint64_t random = config->seed;
    unsigned own = config->options.id_size ? config->options.id_size : BID_ID_NARROW;
    unsigned longest = storm->forms ? own : BID_ID_MAX;
    storm->real = config->n;
    storm->single = config->n * (1 + STORM_EXTRA_KEYS) + STORM_WORKERS; /* so every churner has some */
    storm->oracle.n = storm->single + (storm->forms ? config->churners * STORM_BATCH : 0);
    storm->oracle.keys = calloc(storm->oracle.n, sizeof *storm->oracle.keys);
    if (!storm->oracle.keys)
        fail(storm, "memory for the oracle", strerror(errno));
    for (uint64_t i = 0; i < storm->oracle.n; i++) {
        struct oracle_key *key = &storm->oracle.keys[i];
        uint64_t version = i >= config->n;
        key->longest = (uint8_t)longest;
        key->batch = i >= storm->single;
        key->key = version ? extra_key(i - config->n, &random) : config->keys[i];
        if (!version) {
            key->length = config->lengths[i];
            if (key->length > longest)
                key->length = (uint8_t)longest;
            memcpy(key->id, config->ids + i * BID_ID_MAX, BID_ID_MAX);
        }
        atomic_init(&key->begun, version);
        atomic_init(&key->done, version);
        atomic_init(&key->seen, version);
    }
    for (unsigned i = 0; i < ORACLE_CONTESTED; i++) {
        storm->oracle.contested[i].key.key = oracle_random(&random) >> 1;
        storm->oracle.contested[i].key.longest = (uint8_t)longest;
    }
    if (oracle_sort(&storm->oracle) != 0)
        fail(storm, "memory for the oracle", strerror(errno));
}

/* Room for all entries. `rcu` gets room for a quarter more than there are at first: it refuses the rest. */
static uint64_t room_for(const struct storm *storm)
{
    return storm->design == &storm_rcu ? storm->real + storm->real / 4 + ORACLE_CONTESTED : storm->oracle.n;
}

/* Our table gets the options that were asked for, another design its room. */
static void create_table(struct storm *storm)
{
    struct bid_table *table;
    int status = BID_OK;
    storm->config.options.size = sizeof storm->config.options;
    if (storm->forms) {
        status = bid_create(&table, &storm->config.options);
        storm->table = table;
    } else {
        storm->table = storm->design->create(room_for(storm), storm->config.seed);
    }
    if (!storm->table)
        fail(storm, "creating the table", storm->forms ? bid_status_name(status) : storm->design->name);
}

static void fill_table(struct storm *storm)
{
    for (uint64_t i = 0; i < storm->real; i++) {
        const struct oracle_key *key = &storm->oracle.keys[i];
        int status = storm->design->insert(storm->table, key->key, 0, key->id, key->length);
        if (status != BID_OK)
            fail(storm, "filling the table", bid_status_name(status));
    }
}

static void start_threads(struct storm *storm, unsigned threads)
{
    for (unsigned i = 0; i < threads; i++) {
        struct storm_thread *thread = &storm->thread[i];
        thread->storm = storm;
        thread->shared = &storm->shared->worker[i];
        thread->churner = i < storm->config.churners;
        thread->number = i;
        if (storm->forms && sweep_prepare(thread) != 0)
            fail(storm, "memory for a thread", strerror(errno));
        uint64_t random = storm->config.seed ^ (uint64_t)(i + 1) << 56;
        for (unsigned level = 0; level < STORM_LEVELS; level++)
            thread->random[level] = oracle_random(&random);
        int error = pthread_create(&thread->pthread, NULL, worker_run, thread);
        if (error)
            fail(storm, "starting a thread", strerror(error));
    }
}

/* --------------------------------------------------------------------------------------------- director -- */

static uint64_t progress(const struct storm *storm, unsigned threads)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < threads; i++) {
        const struct storm_tally *tally = &storm->shared->worker[i].tally[0];
        sum += __atomic_load_n(&tally->updates, __ATOMIC_RELAXED) + __atomic_load_n(&tally->ended, __ATOMIC_RELAXED);
    }
    return sum;
}

static int is_armed(const struct storm_thread *thread)
{
    return atomic_load_explicit(&thread->armed, memory_order_acquire);
}

/* Interruptions must leave the threads some progress: the period doubles while they make hardly any. */
static void adapt_period(struct storm *storm, unsigned threads, uint64_t *last)
{
    uint64_t now = progress(storm, threads), made = now - *last;
    *last = now;
    if (made >= (uint64_t)STORM_PROGRESS * threads || storm->shared->period_us >= STORM_PERIOD_MAX_US)
        return;
    storm->shared->period_us *= 2;
    for (unsigned i = 0; i < threads; i++)
        if (is_armed(&storm->thread[i]))
            source_period(&storm->thread[i].sources, storm->shared->period_us);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

static uint64_t updates(const struct storm *storm)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        for (int level = 0; level < STORM_LEVELS; level++)
            sum += __atomic_load_n(&storm->shared->worker[i].tally[level].updates, __ATOMIC_RELAXED);
    return sum;
}

/* Stops the churners for good, one after the other. The first STORM_GOING_ON go on. */
static void stop_another(struct storm *storm, double seconds)
{
    uint64_t next = STORM_GOING_ON + (uint64_t)(seconds * 1e9 / STORM_STOP_NS);
    if (storm->config.trial != STORM_STOPPED || next >= storm->config.churners)
        return;
    int going_on = STORM_GOES_ON;
    if (atomic_compare_exchange_strong(&storm->thread[next].stopping, &going_on, STORM_ASKED))
        storm->shared->updates_before = updates(storm);
}

static void direct_until_the_end(struct storm *storm, unsigned threads)
{
    struct timespec start, pause = {.tv_nsec = STORM_DIRECTED_NS};
    uint64_t random = storm->config.seed, last = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned turn = 1; seconds_since(&start) < storm->config.seconds; turn++) {
        struct storm_thread *thread = &storm->thread[oracle_random(&random) % threads];
        if (storm->config.sources & 1u << STORM_DIRECTED && is_armed(thread))
            source_direct(thread->shared->tid, thread);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        stop_another(storm, seconds_since(&start));
        if (turn % STORM_ADAPT_TURNS == 0)
            adapt_period(storm, threads, &last);
    }
    storm->shared->seconds = seconds_since(&start);
}

/* -------------------------------------------------------------------------------------------------- end -- */

/* With everybody gone the table must say exactly what the oracle says. */
static void check_keys(struct storm *storm)
{
    const struct bid_design *design = storm->design;
    struct storm_shared *shared = storm->shared;
    for (uint64_t i = 0; i < storm->oracle.n; i++) {
        const struct oracle_key *key = &storm->oracle.keys[i];
        struct bid_build_id id = {0};
        uint64_t version, done = atomic_load(&key->done),
                          begun = atomic_load(&key->begun); /* differ if it was stopped */
        int status = design->lookup(storm->table, key->key, &id, NULL);
        shared->wrong_at_end += !oracle_judge(key, done, begun, status, &id, &version);
        shared->entries += status != BID_ABSENT;
    }
}

static void check_contested(struct storm *storm)
{
    const struct bid_design *design = storm->design;
    struct storm_shared *shared = storm->shared;
    for (unsigned i = 0; i < ORACLE_CONTESTED; i++) {
        const struct oracle_contested *contested = &storm->oracle.contested[i];
        struct bid_build_id id = {0};
        uint64_t version;
        int status = design->lookup(storm->table, contested->key.key, &id, NULL), present = status != BID_ABSENT;
        int balanced = shared->stopped || atomic_load(&contested->balance) == present;
        shared->wrong_at_end += !balanced || !oracle_judge_contested(contested, status, &id, &version);
        shared->entries += (uint64_t)present;
    }
}

/* Sweeps in the place of thread 0, which has ended, so a wrong answer counts as one of thread 0. This thread is not
 * watched for system calls. */
static void check_sweeps(struct storm *storm)
{
    storm->thread[0].quiet.watched = 0;
    for (int turn = 0; turn < 8; turn++)
        sweep_keys(&storm->thread[0], 0);
    sweep_iterate(&storm->thread[0], 0);
    sweep_statistics(&storm->thread[0]);
}

static void check_count(struct storm *storm)
{
    struct bid_stats stats = {.size = sizeof stats};
    uint64_t limit = storm->config.options.max_entries;
    if (bid_statistics(storm->table, &stats) != BID_OK || stats.entries != storm->shared->entries ||
        (limit && stats.entries > limit))
        storm->shared->wrong_at_end++;
}

static void check_at_end(struct storm *storm)
{
    const struct bid_design *design = storm->design;
    struct storm_shared *shared = storm->shared;
    check_keys(storm);
    check_contested(storm);
    shared->count = design->count ? design->count(storm->table) : shared->entries;
    shared->resizes = design->resizes ? design->resizes(storm->table) : 0;
    if (!storm->forms)
        return;
    check_sweeps(storm);
    if (!shared->stopped)
        check_count(storm);
}

/* Ends and joins all threads except those that were stopped for good. */
static void join_threads(struct storm *storm, unsigned threads)
{
    atomic_store(&storm->stop, 1);
    for (unsigned i = 0; i < threads; i++) {
        int asked = STORM_ASKED;
        atomic_compare_exchange_strong(&storm->thread[i].stopping, &asked, STORM_GOES_ON);
        if (asked != STORM_STANDS)
            pthread_join(storm->thread[i].pthread, NULL);
    }
}

/* Audits and destroys the table. No thread may be inside of it. */
static void take_down(struct storm *storm)
{
    const char *unsound = storm->design == &bid_design_ours ? bid_audit(storm->table, 0) : NULL;
    if (unsound)
        fail(storm, "the audit of the table", unsound);
    storm->design->destroy(storm->table);
}

static void run_child(struct storm *storm)
{
    unsigned threads = storm->config.lookers + storm->config.churners;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    make_oracle(storm);
    create_table(storm);
    fill_table(storm);
    if (worker_install_handlers() != 0)
        fail(storm, "installing the handlers", strerror(errno));
    storm->shared->period_us = STORM_PERIOD_US;
    start_threads(storm, threads);
    __atomic_store_n(&storm->shared->state, STORM_RUNNING, __ATOMIC_RELEASE);
    direct_until_the_end(storm, threads);
    join_threads(storm, threads);
    __atomic_store_n(&storm->shared->state, STORM_CHECKING, __ATOMIC_RELEASE);
    check_at_end(storm);
    if (!storm->shared->stopped)
        take_down(storm);
    __atomic_store_n(&storm->shared->state, STORM_DONE, __ATOMIC_RELEASE);
    _exit(0);
}

/* -------------------------------------------------------------------------------------------- interface -- */

static const struct bid_design *storm_design(uint32_t i)
{
    static const struct bid_design *const designs[] = {&bid_design_ours, &storm_rcu, &bid_design_spinlock,
                                                       &bid_design_fixed};
    uint32_t n = sizeof designs / sizeof *designs;
    return i < n ? designs[i] : lie_design(i - n);
}

static const struct bid_design *storm_design_named(const char *name)
{
    for (uint32_t i = 0; storm_design(i); i++)
        if (strcmp(storm_design(i)->name, name) == 0)
            return storm_design(i);
    return NULL;
}

const char *storm_design_name(uint32_t i)
{
    return storm_design(i) ? storm_design(i)->name : NULL;
}

const char *storm_design_summary(uint32_t i)
{
    return storm_design(i) ? storm_design(i)->summary : NULL;
}

const char *storm_operation_name(uint32_t operation)
{
#define STORM_NAME(name) "bid_" #name,
    static const char *const names[] = {STORM_EACH_OPERATION(STORM_NAME)};
    return operation < STORM_OPERATIONS ? names[operation] : NULL;
}

int storm_start(const struct storm_config *config, struct storm_shared **shared)
{
    static struct storm storm; /* of the child; the caller's stays empty */
    const struct bid_design *design = storm_design_named(config->design);
    uint32_t fewest = config->trial == STORM_STOPPED ? STORM_GOING_ON + 1 : 1; /* churners */
    if (!design || !config->n || config->churners < fewest || config->lookers + config->churners > STORM_WORKERS)
        return -EINVAL;
    *shared = mmap(NULL, sizeof **shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (*shared == MAP_FAILED)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        storm_free(*shared);
        return -error;
    }
    if (pid == 0) {
        storm.design = design;
        storm.forms = lie_forms(design);
        storm.config = *config;
        storm.shared = *shared;
        run_child(&storm);
    }
    return pid;
}

void storm_free(struct storm_shared *shared)
{
    munmap(shared, sizeof *shared);
}
