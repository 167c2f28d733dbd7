/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The storm: threads that look up and threads that churn, and signal handlers that interrupt them and look up in turn.
 *
 * Nothing that a handler runs allocates, locks or uses TLS: it finds its thread's data through the signal's cookie.
 */
#define _GNU_SOURCE
#include "engine.h"
#include "lies.h"
#include "oracle.h"
#include "sources.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORM_ABSENT_KEYS 1024 /* that nobody ever inserts */
#define STORM_EXTRA_KEYS 2     /* keys that begin absent, for each real one: they make the table grow */
#define STORM_STEADY_KEYS 8    /* of so many real keys one is never changed */
#define STORM_ERRNO 4711       /* what a handler finds in errno must still be there after its lookups */
#define STORM_ALT_STACK (256u << 10)
#define STORM_PERIOD_US 50
#define STORM_PERIOD_MAX_US 20000

/* A thread of the storm, and all that its handlers need. */
struct storm_thread {
    struct storm *storm;
    struct storm_worker *shared;
    unsigned number;
    pthread_t pthread;
    struct source_set sources;
    _Atomic(uint64_t) *seen;        /* for each key, the newest version that this thread has been answered */
    _Atomic(uint64_t) current;      /* the key that it is updating, for its handlers */
    atomic_int level;               /* 0: the thread itself; else how many handlers are nested */
    atomic_int place[STORM_LEVELS]; /* enum storm_place of each level */
    uint64_t random[STORM_LEVELS];
    int growing; /* a churner inserts more than it removes, or the other way round */
};

struct storm {
    const struct bid_design *design;
    void *table;
    struct storm_config config;
    struct storm_shared *shared;
    struct oracle oracle;
    uint64_t real;
    atomic_int stop;
    struct storm_thread thread[STORM_WORKERS];
};

/* -------------------------------------------------------------------------------------- lookups, judged -- */

static void complain(struct storm_thread *thread, const struct storm_complaint *complaint)
{
    thread->shared->wrong++;
    uint64_t number = __atomic_fetch_add(&thread->storm->shared->complaints, 1, __ATOMIC_RELAXED);
    if (number < STORM_COMPLAINTS)
        thread->storm->shared->complaint[number] = *complaint;
}

static void remember(_Atomic(uint64_t) *seen, uint64_t version)
{
    uint64_t old = atomic_load_explicit(seen, memory_order_relaxed);
    while (old < version &&
           !atomic_compare_exchange_weak_explicit(seen, &old, version, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* One lookup at a level of nesting, marked so that handlers and the watchdog see it. */
static int marked_lookup(struct storm_thread *thread, int level, uint64_t key, struct bid_build_id *id)
{
    struct bid_probe_cost cost = {0, 0};
    struct storm_worker *shared = thread->shared;
    int before = atomic_exchange_explicit(&thread->place[level], STORM_IN_LOOKUP, memory_order_relaxed);
    __atomic_store_n(&shared->begun[level], shared->begun[level] + 1, __ATOMIC_RELEASE);
    int status = thread->storm->design->lookup(thread->storm->table, key, id, &cost);
    __atomic_store_n(&shared->ended[level], shared->begun[level], __ATOMIC_RELEASE);
    atomic_store_explicit(&thread->place[level], before, memory_order_relaxed);
    shared->lookups++;
    if (cost.slots > shared->max_slots)
        shared->max_slots = cost.slots;
    if (cost.records > shared->max_records)
        shared->max_records = cost.records;
    return status;
}

static void look_up(struct storm_thread *thread, int level, uint64_t number, int place)
{
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id;
    uint64_t version, lowest = atomic_load_explicit(&key->done, memory_order_acquire);
    uint64_t seen = atomic_load_explicit(&thread->seen[number], memory_order_relaxed);
    if (seen > lowest)
        lowest = seen;
    int status = marked_lookup(thread, level, key->key, &id);
    uint64_t highest = atomic_load_explicit(&key->begun, memory_order_acquire);
    if (oracle_judge(key, lowest, highest, status, &id, &version))
        remember(&thread->seen[number], version);
    else
        complain(thread, &(struct storm_complaint){key->key, lowest, highest, version, status, (uint32_t)level,
                                                   (uint32_t)place});
}

/* A key that was never inserted. */
static void look_up_absent(struct storm_thread *thread, int level, int place)
{
    struct bid_build_id id;
    uint64_t key = ~(oracle_random(&thread->random[level]) % STORM_ABSENT_KEYS);
    int status = marked_lookup(thread, level, key, &id);
    if (status != BID_ABSENT)
        complain(thread, &(struct storm_complaint){key, 0, 0, 0, status, (uint32_t)level, (uint32_t)place});
}

/* --------------------------------------------------------------------------------------------- handlers -- */

static void count_landing(struct storm_thread *thread, enum storm_source source, int level, int place)
{
    struct storm_worker *shared = thread->shared;
    shared->interruptions[source]++;
    shared->nested += level > 1;
    shared->landed_in_lookup += place == STORM_IN_LOOKUP;
    if (place != STORM_IN_UPDATE)
        return;
    const struct bid_design *design = thread->storm->design;
    shared->landed_in_update++;
    shared->landed_in_resize += design->resizing && design->resizing(thread->storm->table);
}

/* The key that the thread is busy with, its neighbour, a random one, an absent one. Counters of the thread may lose a
 * count to a handler that interrupts their addition; none is compared for equality. */
static void handle(enum storm_source source, siginfo_t *info)
{
    struct storm_thread *thread = source_cookie(source, info);
    int saved = errno, level = atomic_fetch_add_explicit(&thread->level, 1, memory_order_relaxed) + 1;
    if (level < STORM_LEVELS) {
        int place = atomic_load_explicit(&thread->place[level - 1], memory_order_relaxed);
        uint64_t n = thread->storm->oracle.n, current = atomic_load_explicit(&thread->current, memory_order_relaxed);
        count_landing(thread, source, level, place);
        errno = STORM_ERRNO;
        look_up(thread, level, current, place);
        look_up(thread, level, (current + 1) % n, place);
        look_up(thread, level, oracle_random(&thread->random[level]) % n, place);
        look_up_absent(thread, level, place);
        thread->shared->errno_changed += errno != STORM_ERRNO;
    }
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
static int install_handlers(void)
{
    static void (*const handlers[])(int, siginfo_t *, void *) = {handle_perf, handle_timer, handle_directed};
    for (int source = 0; source < STORM_SOURCES; source++) {
        struct sigaction action = {.sa_sigaction = handlers[source]};
        action.sa_flags = SA_SIGINFO | SA_RESTART | (source == STORM_PERF ? 0 : SA_ONSTACK);
        sigemptyset(&action.sa_mask);
        if (sigaction(source_signal(source), &action, NULL) != 0)
            return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------- threads -- */

static void update_failed(struct storm_thread *thread, int status)
{
    struct storm_shared *shared = thread->storm->shared;
    if (__atomic_fetch_add(&shared->errors, 1, __ATOMIC_RELAXED) == 0)
        shared->first_error = status;
}

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
    struct oracle_key *key = &thread->storm->oracle.keys[number];
    struct bid_build_id id, old;
    uint64_t version = atomic_load_explicit(&key->done, memory_order_relaxed) + 1;
    int was = oracle_state(key, version - 1, &old), becomes = oracle_state(key, version, &id), status;
    atomic_store_explicit(&thread->current, number, memory_order_relaxed);
    atomic_store_explicit(&key->begun, version, memory_order_release);
    for (;;) {
        atomic_store_explicit(&thread->place[0], STORM_IN_UPDATE, memory_order_relaxed);
        status = update_once(thread, key, was, becomes, &id);
        atomic_store_explicit(&thread->place[0], STORM_ELSEWHERE, memory_order_relaxed);
        if (status != BID_E_RETIRED)
            break;
        thread->shared->refused++;
        sched_yield();
    }
    atomic_store_explicit(&key->done, version, memory_order_release);
    thread->shared->updates++;
    if (status != BID_OK)
        update_failed(thread, status);
}

/* Reserve and shrink: the resizes that entries alone do not bring about. */
static void resize(struct storm_thread *thread, uint64_t random)
{
    const struct bid_design *design = thread->storm->design;
    if (!design->reserve)
        return;
    atomic_store_explicit(&thread->place[0], STORM_IN_UPDATE, memory_order_relaxed);
    int status = random % 2 ? design->shrink(thread->storm->table)
                            : design->reserve(thread->storm->table, random / 2 % (4 * thread->storm->oracle.n));
    atomic_store_explicit(&thread->place[0], STORM_ELSEWHERE, memory_order_relaxed);
    if (status < 0 && status != BID_E_RETIRED)
        update_failed(thread, status);
}

/* A churner owns every key whose number leaves its own rest, but for the steady ones. */
static void churn(struct storm_thread *thread)
{
    struct storm *storm = thread->storm;
    uint64_t random = oracle_random(&thread->random[0]), n = storm->oracle.n, churners = storm->config.churners;
    if (random % 4096 == 0)
        resize(thread, random >> 12);
    if (random % 16384 < 2)
        thread->growing = !thread->growing;
    uint64_t number = (random >> 16) % (n / churners) * churners + thread->number;
    struct oracle_key *key = &storm->oracle.keys[number];
    if (number < storm->real && number % STORM_STEADY_KEYS == 0)
        return;
    struct bid_build_id id;
    int present = oracle_state(key, atomic_load_explicit(&key->done, memory_order_relaxed), &id) != BID_ABSENT;
    if (present != thread->growing || (random >> 8) % 4 == 0)
        advance(thread, number);
}

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

static void *run_thread(void *argument)
{
    struct storm_thread *thread = argument;
    struct storm *storm = thread->storm;
    stack_t stack = {.ss_size = STORM_ALT_STACK, .ss_sp = malloc(STORM_ALT_STACK)};
    pin_to_processor(thread->number);
    sigaltstack(&stack, NULL);
    thread->shared->tid = (int32_t)syscall(SYS_gettid);
    uint32_t armed =
        source_arm(&thread->sources, storm->config.sources, STORM_PERIOD_US, thread, &storm->shared->perf_errno);
    __atomic_fetch_or(&storm->shared->sources, armed, __ATOMIC_RELAXED);
    while (!atomic_load_explicit(&storm->stop, memory_order_relaxed)) {
        if (thread->shared->churner)
            churn(thread);
        else if (oracle_random(&thread->random[0]) % 16)
            look_up(thread, 0, oracle_random(&thread->random[0]) % storm->oracle.n, STORM_ELSEWHERE);
        else
            look_up_absent(thread, 0, STORM_ELSEWHERE);
    }
    source_disarm(&thread->sources);
    return NULL;
}

/* --------------------------------------------------------------------------------------------- director -- */

static uint64_t progress(const struct storm *storm, unsigned threads)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < threads; i++)
        sum += storm->shared->worker[i].updates + storm->shared->worker[i].ended[0];
    return sum;
}

/* Interruptions must leave the threads some progress: the period doubles while they make hardly any. */
static void adapt_period(struct storm *storm, unsigned threads, uint64_t *last)
{
    uint64_t now = progress(storm, threads), made = now - *last;
    *last = now;
    if (made >= 50 * threads || storm->shared->period_us >= STORM_PERIOD_MAX_US)
        return;
    storm->shared->period_us *= 2;
    for (unsigned i = 0; i < threads; i++)
        source_period(&storm->thread[i].sources, storm->shared->period_us);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

static void direct_until_the_end(struct storm *storm, unsigned threads)
{
    struct timespec start, pause = {.tv_nsec = 200000};
    uint64_t random = storm->config.seed, last = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned turn = 1; seconds_since(&start) < storm->config.seconds; turn++) {
        if (storm->config.sources & 1u << STORM_DIRECTED) {
            struct storm_thread *thread = &storm->thread[oracle_random(&random) % threads];
            if (thread->shared->tid)
                source_direct(thread->shared->tid, thread);
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        if (turn % 1000 == 0)
            adapt_period(storm, threads, &last);
    }
}

/* With everybody gone the table must say exactly what the oracle says. */
static void check_at_end(struct storm *storm)
{
    struct storm_shared *shared = storm->shared;
    for (uint64_t i = 0; i < storm->oracle.n; i++) {
        struct oracle_key *key = &storm->oracle.keys[i];
        struct bid_build_id id;
        struct bid_probe_cost cost;
        uint64_t version, done = atomic_load(&key->done);
        int status = storm->design->lookup(storm->table, key->key, &id, &cost);
        shared->wrong_at_end += !oracle_judge(key, done, done, status, &id, &version);
        shared->entries += status != BID_ABSENT;
    }
    if (storm->design->resizes)
        shared->resizes = storm->design->resizes(storm->table);
}

/* ----------------------------------------------------------------------------------------------- set up -- */

static void fail(struct storm *storm, const char *what, int error)
{
    strncpy(storm->shared->failed, what, sizeof storm->shared->failed - 1);
    storm->shared->error = (uint32_t)error;
    __atomic_store_n(&storm->shared->state, STORM_FAILED, __ATOMIC_RELEASE);
    _exit(1);
}

/* The real keys at version 0, present; then the extra ones at version 1, absent. */
static void make_oracle(struct storm *storm)
{
    const struct storm_config *config = &storm->config;
    uint64_t random = config->seed;
    storm->real = config->n;
    storm->oracle.n = config->n * (1 + STORM_EXTRA_KEYS);
    storm->oracle.keys = calloc(storm->oracle.n, sizeof *storm->oracle.keys);
    if (!storm->oracle.keys)
        fail(storm, "memory for the oracle", ENOMEM);
    for (uint64_t i = 0; i < storm->oracle.n; i++) {
        struct oracle_key *key = &storm->oracle.keys[i];
        uint64_t version = i >= config->n;
        key->key = version ? oracle_random(&random) >> 1 : config->keys[i];
        if (!version) {
            key->length = config->lengths[i];
            memcpy(key->id, config->ids + i * BID_ID_MAX, BID_ID_MAX);
        }
        atomic_store(&key->begun, version);
        atomic_store(&key->done, version);
    }
}

static void fill_table(struct storm *storm)
{
    storm->table = storm->design->create(storm->design->reserve ? 0 : storm->oracle.n, storm->config.seed);
    if (!storm->table)
        fail(storm, "creating the table", ENOMEM);
    for (uint64_t i = 0; i < storm->real; i++) {
        const struct oracle_key *key = &storm->oracle.keys[i];
        int status = storm->design->insert(storm->table, key->key, 0, key->id, key->length);
        if (status != BID_OK && status != BID_EXISTS)
            fail(storm, "filling the table", status);
    }
}

static void start_threads(struct storm *storm, unsigned threads)
{
    for (unsigned i = 0; i < threads; i++) {
        struct storm_thread *thread = &storm->thread[i];
        thread->storm = storm;
        thread->shared = &storm->shared->worker[i];
        thread->shared->churner = i < storm->config.churners;
        thread->number = i;
        thread->seen = calloc(storm->oracle.n, sizeof *thread->seen);
        if (!thread->seen)
            fail(storm, "memory for a thread", ENOMEM);
        for (unsigned level = 0; level < STORM_LEVELS; level++)
            thread->random[level] = storm->config.seed * 31 + i * STORM_LEVELS + level;
        int error = pthread_create(&thread->pthread, NULL, run_thread, thread);
        if (error)
            fail(storm, "starting a thread", error);
    }
}

static void run_child(struct storm *storm)
{
    unsigned threads = storm->config.lookers + storm->config.churners;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    make_oracle(storm);
    fill_table(storm);
    if (install_handlers() != 0)
        fail(storm, "installing the handlers", errno);
    storm->shared->period_us = STORM_PERIOD_US;
    start_threads(storm, threads);
    __atomic_store_n(&storm->shared->state, STORM_RUNNING, __ATOMIC_RELEASE);
    direct_until_the_end(storm, threads);
    atomic_store(&storm->stop, 1);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(storm->thread[i].pthread, NULL);
    __atomic_store_n(&storm->shared->state, STORM_CHECKING, __ATOMIC_RELEASE);
    check_at_end(storm);
    storm->design->destroy(storm->table);
    __atomic_store_n(&storm->shared->state, STORM_DONE, __ATOMIC_RELEASE);
    _exit(0);
}

/* --------------------------------------------------------------------------------------------- interface -- */

static const struct bid_design *storm_design(uint32_t i)
{
    return i == 0 ? &bid_design_ours : i == 1 ? &bid_design_spinlock : lie_design(i - 2);
}

const char *storm_design_name(uint32_t i)
{
    return storm_design(i) ? storm_design(i)->name : NULL;
}

const char *storm_design_summary(uint32_t i)
{
    return storm_design(i) ? storm_design(i)->summary : NULL;
}

int storm_start(const struct storm_config *config, struct storm_shared **shared)
{
    static struct storm storm;
    const struct bid_design *design = NULL;
    for (uint32_t i = 0; storm_design(i); i++)
        if (strcmp(storm_design(i)->name, config->design) == 0)
            design = storm_design(i);
    uint32_t threads = config->lookers + config->churners;
    if (!design || !config->n || !config->churners || threads > STORM_WORKERS)
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
        storm = (struct storm){.design = design, .config = *config, .shared = *shared};
        run_child(&storm);
    }
    return pid;
}

void storm_free(struct storm_shared *shared)
{
    munmap(shared, sizeof *shared);
}
