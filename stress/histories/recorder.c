/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Threads live as long as the program and meet at the start of each history. Two signals interrupt them: SIGTRAP after
 * an exact number of instructions (the processor's trap flag, x86-64 alone), and SIGUSR1, which another thread directs
 * at them. Their handlers do operations themselves; each may interrupt the other.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STAND_YIELDS 1000 /* a thread that stands still goes on after so many, whatever the others do */
#define MORE_MAX 2000     /* background keys, to get into a resize */

struct run run;

static _Thread_local struct worker *self; /* the program's own: allocated before its threads start */

/* ---------------------------------------------------------------------------------- background, resizes -- */

static void background_status(struct recorder_tally *tally, int status, int counts)
{
    if (status == BID_OK)
        atomic_fetch_add(&run.background, counts);
    if (status >= 0 || status == BID_E_RETIRED || (status == BID_E_MAX_ENTRIES && run.plan->options.max_entries))
        return;
    if (!tally->errors++)
        tally->first_error = status;
}

static void fill_one(struct recorder_tally *tally)
{
    static const uint8_t id[BID_ID_NARROW] = "in the background";
    uint64_t key = plan_background_key(run.plan, atomic_fetch_add(&run.filled, 1));
    background_status(tally, bid_insert(run.table, key, 1, id, sizeof id), 1);
}

static void drain_one(struct recorder_tally *tally)
{
    uint64_t number = atomic_load(&run.drained);
    if (number < atomic_load(&run.filled) && atomic_compare_exchange_strong(&run.drained, &number, number + 1))
        background_status(tally, bid_remove(run.table, plan_background_key(run.plan, number)), -1);
}

static void work(const struct plan_step *step, struct recorder_tally *tally)
{
    if (step->trap_after)
        trap_on();
    switch (step->work) {
    case PLAN_FILL:
    case PLAN_DRAIN:
        for (uint32_t i = 0; i < step->amount; i++)
            (step->work == PLAN_FILL ? fill_one : drain_one)(tally);
        break;
    case PLAN_RESERVE:
        background_status(tally, bid_reserve(run.table, step->amount), 0);
        break;
    case PLAN_SHRINK:
        background_status(tally, bid_shrink(run.table), 0);
        break;
    default:
        bid_reclaim(run.table);
    }
    if (step->trap_after)
        trap_off();
}

/* -------------------------------------------------------------------------------------------- handlers -- */

/* The next operation of the handlers' script, if there is one left. */
static void interrupt(struct worker *worker)
{
    int saved_errno = errno;
    unsigned level = (unsigned)atomic_fetch_add(&worker->level, 1) + 1;
    unsigned number = atomic_fetch_add(&worker->handled, 1);
    if (number < PLAN_HANDLER_STEPS) {
        worker->tally.from_handlers++;
        worker->tally.interrupting += (uint64_t)atomic_load(&worker->inside[level - 1]);
        atomic_store(&worker->inside[level], 1);
        operation_perform(worker, &run.plan->handler[worker->number][number].op, level, 0);
        atomic_store(&worker->inside[level], 0);
    }
    atomic_fetch_sub(&worker->level, 1);
    errno = saved_errno;
}

/* The thread stands in the middle of an operation while others go on. */
static void stand(struct worker *worker)
{
    uint64_t until = atomic_load(&run.clock) + worker->trap_stand;
    worker->tally.stood++;
    for (int i = 0; i < STAND_YIELDS && atomic_load(&run.clock) < until && atomic_load(&run.running) > 1; i++)
        sched_yield();
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    struct worker *worker = self;
    if (--worker->trap_left)
        return;
    trap_leave(context);
    atomic_fetch_sub(&run.stepping, 1);
    worker->tally.traps++;
    if (worker->trap_stand)
        stand(worker);
    interrupt(worker);
}

static void on_kick(int signal)
{
    (void)signal;
    if (self && atomic_load(&self->armed))
        interrupt(self);
}

static void kick(const struct worker *worker)
{
    const struct worker *other = &run.worker[(worker->number + 1) % run.plan->threads];
    if (other != worker)
        syscall(SYS_tgkill, getpid(), other->tid, SIGUSR1);
}

/* --------------------------------------------------------------------------------------------- threads -- */

static void do_step(struct worker *worker, const struct plan_step *step)
{
    if (step->kick)
        kick(worker);
    while (step->await && atomic_load(&run.stepping))
        usleep(1); /* rather than yield: the processor is wanted by the one that steps */
    worker->trap_left = step->trap_after;
    worker->trap_stand = step->stand;
    atomic_fetch_add(&run.stepping, step->trap_after != 0);
    atomic_store(&worker->inside[0], 1);
    if (step->work == PLAN_RECORDED)
        operation_perform(worker, &step->op, 0, step->trap_after != 0);
    else
        work(step, &worker->tally);
    atomic_fetch_sub(&run.stepping, worker->trap_left != 0); /* it was over before */
    atomic_store(&worker->inside[0], 0);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ; /* a signal came late */
}

static void wait_until(atomic_uint *word, unsigned value)
{
    while (atomic_load(word) != value)
        sched_yield();
}

static void script(struct worker *worker)
{
    atomic_store(&worker->used, 0);
    atomic_store(&worker->handled, 0);
    atomic_store(&worker->armed, 1);
    atomic_fetch_add(&run.ready, 1);
    wait_until(&run.ready, run.plan->threads);
    for (unsigned i = 0; i < PLAN_STEPS; i++)
        do_step(worker, &run.plan->step[worker->number][i]);
    atomic_store(&worker->armed, 0);
    atomic_fetch_sub(&run.running, 1);
}

/* To one of the processors that this process may use, in turn: all on one would seldom meet. */
static void pin_to_processor(unsigned number)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    number %= (unsigned)CPU_COUNT(&all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || number--)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void enlist(struct worker *worker)
{
    self = worker;
    worker->tid = (pid_t)syscall(SYS_gettid);
    atomic_fetch_add(&run.ready, 1);
}

static void *thread_main(void *argument)
{
    struct worker *worker = argument;
    pin_to_processor(worker->number);
    enlist(worker);
    for (;;) {
        wait_for(&worker->go);
        script(worker);
        sem_post(&run.gone);
    }
    return NULL;
}

int recorder_start(void)
{
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction kicked = {.sa_handler = on_kick, .sa_flags = SA_RESTART};
    pthread_t thread;
    if (sigaction(SIGTRAP, &trap, NULL) != 0 || sigaction(SIGUSR1, &kicked, NULL) != 0)
        return errno;
    sem_init(&run.gone, 0, 0);
    for (unsigned i = 0; i < PLAN_THREADS; i++) {
        run.worker[i].number = i;
        sem_init(&run.worker[i].go, 0, 0);
    }
    for (unsigned i = 1; i < PLAN_THREADS; i++) {
        int error = pthread_create(&thread, NULL, thread_main, &run.worker[i]);
        if (error)
            return error;
    }
    pin_to_processor(0);
    enlist(&run.worker[0]);
    wait_until(&run.ready, PLAN_THREADS);
    return 0;
}

/* ---------------------------------------------------------------------------------------- one history -- */

/* So many inserts, and the array is full enough to be left (csrc/table/resize.c). */
static uint64_t room(const struct bid_table *table)
{
    struct bid_stats stats = {.size = sizeof stats};
    bid_statistics(table, &stats);
    return stats.slots * 5 / 8;
}

static void prepare(const struct plan *plan, struct recorder_tally *tally)
{
    run.plan = plan;
    atomic_store(&run.clock, 0);
    atomic_store(&run.filled, 0);
    atomic_store(&run.drained, 0);
    atomic_store(&run.background, 0);
    int status = bid_create(&run.table, &plan->options);
    if (status == BID_E_MLOCK) {
        struct bid_options pageable = plan->options;
        pageable.flags &= ~(uint32_t)BID_MLOCK;
        status = bid_create(&run.table, &pageable);
    }
    if (status != BID_OK) {
        fprintf(stderr, "no table: %s\n", bid_status_text(status));
        exit(1);
    }
    uint64_t background = plan->background;
    if (plan->start == PLAN_BEFORE_RESIZE)
        background = room(run.table) > background % 8 ? room(run.table) - background % 8 : 0;
    for (uint64_t i = 0; i < background; i++)
        fill_one(tally);
    for (int i = 0; plan->start == PLAN_IN_RESIZE && i < MORE_MAX && !bid_resizing(run.table); i++)
        fill_one(tally);
}

/* An operation of the main thread, before or after the others'. */
static void alone(struct history_op *op, const struct history_op *planned, struct recorder_tally *tally)
{
    *op = *planned;
    operation_record(op, 0, tally);
}

static unsigned look_all_up(const struct plan *plan, struct history_op *ops, struct recorder_tally *tally)
{
    for (uint32_t key = 0; key < plan->keys; key++)
        alone(&ops[key], &(struct history_op){.key = key, .kind = HISTORY_LOOKUP}, tally);
    return plan->keys;
}

/* Once more when the resize is done, and what it left behind has gone. */
static unsigned conclude(const struct plan *plan, struct history_op *ops, struct recorder_tally *tally)
{
    unsigned n = look_all_up(plan, ops, tally);
    background_status(tally, bid_shrink(run.table), 0);
    n += look_all_up(plan, ops + n, tally);
    uint64_t entries = (uint64_t)atomic_load(&run.background);
    for (uint32_t key = 0; key < plan->keys; key++)
        entries += ops[n - 1 - key].status != BID_ABSENT;
    tally->wrong_counts += bid_count(run.table) != entries;
    tally->resizes += bid_resizes(run.table);
    bid_destroy(run.table);
    return n;
}

static void together(const struct plan *plan, struct recorder_tally *tally)
{
    uint64_t resizes = bid_resizes(run.table);
    int resizing = bid_resizing(run.table);
    atomic_store(&run.ready, 0);
    atomic_store(&run.running, plan->threads);
    for (unsigned i = 1; i < plan->threads; i++)
        sem_post(&run.worker[i].go);
    script(&run.worker[0]);
    for (unsigned i = 1; i < plan->threads; i++)
        wait_for(&run.gone);
    tally->across_a_resize += resizing || bid_resizing(run.table) || bid_resizes(run.table) != resizes;
}

static void count_overlaps(const struct history_op *ops, unsigned n, struct recorder_tally *tally)
{
    uint64_t pairs = 0;
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++) {
            const struct history_op *a = &ops[i], *b = &ops[j];
            int lookups = history_is_lookup(a->kind) && history_is_lookup(b->kind);
            pairs += !lookups && a->key == b->key && a->invoked < b->returned && b->invoked < a->returned;
        }
    tally->overlapping += pairs;
    tally->with_overlap += pairs != 0;
}

static void add_tally(struct recorder_tally *to, const struct recorder_tally *from)
{
    to->operations += from->operations;
    to->refused += from->refused;
    to->from_handlers += from->from_handlers;
    to->interrupting += from->interrupting;
    to->in_resize += from->in_resize;
    to->traps += from->traps;
    to->stood += from->stood;
    for (unsigned kind = 0; kind < HISTORY_KINDS; kind++)
        to->kinds[kind] += from->kinds[kind];
    if (from->errors && !to->errors)
        to->first_error = from->first_error;
    to->errors += from->errors;
}

unsigned recorder_run(const struct plan *plan, struct history_op *ops, struct recorder_tally *tally)
{
    unsigned n = 0;
    prepare(plan, tally);
    for (; n < plan->keys; n++)
        alone(&ops[n], &plan->before[n].op, tally);
    together(plan, tally);
    for (unsigned i = 0; i < plan->threads; i++) {
        struct worker *worker = &run.worker[i];
        unsigned used = atomic_load(&worker->used);
        memcpy(&ops[n], worker->ops, used * sizeof *ops);
        n += used;
        add_tally(tally, &worker->tally);
        memset(&worker->tally, 0, sizeof worker->tally);
    }
    n += conclude(plan, ops + n, tally);
    count_overlaps(ops, n, tally);
    return n;
}
