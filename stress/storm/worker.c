/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The threads of a storm: they look up or churn, and signal handlers interrupt them and look up, and update, in turn.
 *
 * Nothing that a handler runs allocates, locks or uses TLS (but for errno, which the thread has used before): it finds
 * its thread's data through the signal's cookie.
 */
#define _GNU_SOURCE
#include "churn.h"
#include "judge.h"
#include "sweep.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKER_SWEEP_EVERY 4096 /* handlers, and a hundred times as many turns of a thread, for one that visits all */
#define WORKER_ERRNO 4711       /* what a handler puts into errno must still be there after its lookups */
#define WORKER_ALT_STACK (256u << 10)

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

/* What looks at more than one key, of our table: a handful of keys now and then, and seldom all. */
static void look_wider(struct storm_thread *thread, int level, uint64_t random)
{
    if (random % 8 == 0)
        judge_lookup_many(thread, level);
    else if (random % 8 == 1)
        sweep_count(thread, level);
    else if (random % WORKER_SWEEP_EVERY == 2)
        sweep_iterate(thread, level);
    else if (random % WORKER_SWEEP_EVERY == 3)
        sweep_keys(thread, level);
}

/* The keys that the thread is busy with; the neighbour of one, a random one, an absent one. Every fourth handler
 * updates. */
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
        churn_contest(thread, level, contested);
    if (thread->storm->forms)
        look_wider(thread, level, oracle_random(&thread->random[level]));
    judge_lookup_contested(thread, level, contested);
}

/* For good, if this thread was asked to and the handler is inside an update of the thread itself. The marks of a quiet
 * call would turn the system calls here into faults. */
static void stop_if_asked(struct storm_thread *thread, int level)
{
    int asked = STORM_ASKED;
    sigset_t all;
    if (level != 1 || judge_interrupted(thread, level) != STORM_IN_UPDATE || thread->quiet.selector ||
        !atomic_compare_exchange_strong(&thread->stopping, &asked, STORM_STANDS))
        return;
    atomic_store_explicit(&thread->armed, 0, memory_order_release);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_fetch_add(&thread->storm->shared->stopped, 1, __ATOMIC_RELAXED);
    for (;;)
        pause();
}

/* Each of STORM_SOURCES signals blocks itself, so the level stays below STORM_LEVELS. But where a system call is
 * refused (SIGSYS), Linux also delivers a SIGTRAP that waits because it is blocked. */
static void handle(enum storm_source source, siginfo_t *info)
{
    struct storm_thread *thread = source_cookie(source, info);
    int saved = errno, level = atomic_fetch_add_explicit(&thread->level, 1, memory_order_relaxed) + 1;
    if (level < STORM_LEVELS) {
        count_landing(thread, level, source);
        stop_if_asked(thread, level);
        errno = WORKER_ERRNO;
        look_around(thread, level);
        thread->shared->tally[level].errno_changed += errno != WORKER_ERRNO;
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
    else if (random % 16 == 5 && thread->storm->forms)
        look_wider(thread, 0, random >> 4);
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
        churn_failed(thread, BID_E_NO_MEMORY);
    __atomic_store_n(&thread->shared->tid, (int32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    pin_to_processor(thread->number);
    if (storm->forms)
        quiet_watch(&thread->quiet, &storm->shared->quiet);
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
