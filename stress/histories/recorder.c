/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Threads live as long as the program and meet at the start of each history. Two signals interrupt them: SIGTRAP after an
 * exact number of instructions (the processor's trap flag, x86-64 alone), and SIGUSR1, which another thread directs at
 * them. Their handlers do operations themselves; each may interrupt the other.
 */
#define _GNU_SOURCE
#include "recorder.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define LEVELS 3          /* a thread, and nested in it a handler of each signal */
#define STAND_YIELDS 1000 /* a thread that stands still goes on after so many, whatever the others do */
#define MORE_MAX 2000     /* background keys, to get into a resize */

/* What a thread and its handlers write; nobody else does, so it is counted without atomic additions. */
struct worker {
    _Alignas(64) unsigned number;
    pid_t tid;
    sem_t go;         /* posted for each history that it takes part in */
    atomic_int armed; /* handlers may do operations */
    atomic_int level; /* so many handlers are nested now */
    atomic_int inside[LEVELS];
    atomic_uint used, handled; /* of ops, and of the handlers' script */
    uint32_t trap_left, trap_stand;
    struct recorder_tally tally;
    struct history_op ops[(PLAN_STEPS + PLAN_HANDLER_STEPS) * PLAN_KEYS];
};

static struct {
    struct worker worker[PLAN_THREADS];
    const struct plan *plan;
    struct bid_table *table;
    _Alignas(64) _Atomic(uint64_t) clock;
    _Alignas(64) atomic_uint ready, running; /* threads that are at the start of a history, or are in it */
    atomic_uint stepping;                    /* threads that go to their trap, an instruction at a time */
    sem_t gone;                              /* posted by each that has done its part */
    _Atomic(uint64_t) filled, drained; /* background keys: those from `drained` to `filled` are in the table, or are on
                                          their way in or out */
    _Atomic(int64_t) background;       /* how many are */
} run;

static _Thread_local struct worker *self; /* the program's own: allocated before its threads start */

static uint64_t now(void)
{
    return atomic_fetch_add(&run.clock, 1);
}

/* ------------------------------------------------------------------------------------------ trap flag -- */

/* ThreadSanitizer delivers every signal late, so a trap would not interrupt what it was set for. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define TRAP_FLAG 0x100

/* Each of these skips the red zone, which the interrupted function may be using. */
static inline void trap_on(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(TRAP_FLAG)
                     : "memory", "cc");
}

static inline void trap_off(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(~TRAP_FLAG)
                     : "memory", "cc");
}

static void trap_leave(void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}
#else
static inline void trap_on(void)
{
}

static inline void trap_off(void)
{
}

static void trap_leave(void *context)
{
    (void)context;
}
#endif

/* ------------------------------------------------------------------------------------------ operations -- */

static struct history_op *new_op(struct worker *worker, const struct history_op *planned)
{
    struct history_op *op = &worker->ops[atomic_fetch_add(&worker->used, 1)];
    *op = *planned;
    op->thread = worker->number;
    return op;
}

/* What a call needs, made beforehand. */
struct arguments {
    uint64_t key;
    size_t length;
    uint8_t id[BID_ID_MAX];
    struct bid_build_id found; /* for a lookup's answer */
};

/* As bid_insert(), but as the last of a batch, whose others are new keys of the background: so what is told of all of
 * them tells of this one. */
static int insert_many(struct bid_table *table, const struct arguments *with)
{
    static const uint8_t background[BID_ID_NARROW] = "one of a batch";
    uint64_t keys[PLAN_BATCH + 1], first = atomic_fetch_add(&run.filled, PLAN_BATCH);
    uint8_t ids[PLAN_BATCH + 1][BID_ID_MAX], lengths[PLAN_BATCH + 1];
    size_t inserted;
    for (unsigned i = 0; i < PLAN_BATCH; i++) {
        keys[i] = plan_background_key(run.plan, first + i);
        lengths[i] = sizeof background;
        memcpy(ids[i], background, sizeof background);
    }
    keys[PLAN_BATCH] = with->key;
    lengths[PLAN_BATCH] = with->length ? (uint8_t)with->length : BID_LENGTH_NO_BUILD_ID;
    memcpy(ids[PLAN_BATCH], with->id, with->length);
    int status = bid_insert_many(table, keys, PLAN_BATCH + 1, ids[0], BID_ID_MAX, lengths, &inserted);
    atomic_fetch_add(&run.background, (int64_t)(inserted < PLAN_BATCH ? inserted : PLAN_BATCH));
    if (status < 0)
        return status;
    return inserted == PLAN_BATCH + 1 ? BID_OK : inserted == PLAN_BATCH ? BID_EXISTS : BID_E_COLLISIONS;
}

static int call(struct bid_table *table, const struct history_op *op, struct arguments *with)
{
    struct bid_probe_cost cost;
    switch ((enum history_kind)op->kind) {
    case HISTORY_LOOKUP:
        return bid_lookup(table, with->key, &with->found);
    case HISTORY_LOOKUP_COST:
        return bid_lookup_cost(table, with->key, &with->found, &cost);
    case HISTORY_LOOKUP_GENERATION:
        return bid_lookup_generation(table, with->key, op->generation, &with->found);
    case HISTORY_INSERT:
        return bid_insert(table, with->key, op->generation, with->id, with->length);
    case HISTORY_INSERT_NMI:
        return bid_insert_nmi(table, with->key, op->generation, with->id, with->length);
    case HISTORY_INSERT_MANY:
        return insert_many(table, with);
    case HISTORY_REPLACE:
        return bid_replace(table, with->key, op->generation, with->id, with->length);
    case HISTORY_UPSERT:
        return bid_upsert(table, with->key, op->generation, with->id, with->length);
    case HISTORY_REMOVE:
        return bid_remove(table, with->key);
    case HISTORY_REMOVE_GENERATION:
        return bid_remove_generation(table, with->key, op->generation);
    default:
        return bid_remove_nmi(table, with->key);
    }
}

static void count_op(const struct history_op *op, int resizing, struct recorder_tally *tally)
{
    tally->operations++;
    tally->kinds[op->kind]++;
    tally->refused += op->status < 0;
    tally->in_resize += (uint64_t)(resizing || bid_resizing(run.table));
    if (op->status == BID_E_MAX_ENTRIES && !run.plan->options.max_entries && !tally->errors++)
        tally->first_error = op->status;
}

/* What a lookup found. */
static void answer(struct history_op *op, const struct bid_build_id *found)
{
    if (op->status != BID_OK && op->status != BID_NO_BUILD_ID)
        return;
    op->found_generation = found->generation;
    op->found_id = plan_id_number(run.plan, op->key, found);
}

/* Does an operation on one key, and fills in what it answered and when. */
static void record(struct history_op *op, int trap, struct recorder_tally *tally)
{
    struct arguments with = {.key = plan_key(run.plan, op->key)};
    with.length = plan_id(run.plan, op->key, op->id, with.id);
    int resizing = bid_resizing(run.table);
    op->invoked = now();
    if (trap)
        trap_on();
    op->status = call(run.table, op, &with);
    if (trap)
        trap_off();
    op->returned = now();
    if (history_is_lookup(op->kind))
        answer(op, &with.found);
    count_op(op, resizing, tally);
}

/* ------------------------------------------------------------------------------ operations on all keys -- */

#define ALL_KEYS 4096 /* more than there are at any time */
#define MANY_KEYS 20  /* of a lookup of many: more than are fetched ahead */

/* One call, and the operation that it is on each key in question. */
struct all {
    struct history_op *op[PLAN_KEYS];
    unsigned seen[PLAN_KEYS];
};

/* The first time, what was found; a second visit is one too many, which no order explains. */
static void see(struct all *all, uint64_t key, int status, const struct bid_build_id *id)
{
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        if (key != plan_key(run.plan, i))
            continue;
        all->op[i]->status = status;
        if (id)
            answer(all->op[i], id);
        if (all->seen[i]++)
            all->op[i]->status = BID_E_COLLISIONS;
    }
}

static int visit(void *all, uint64_t key, int status, const struct bid_build_id *id)
{
    see(all, key, status, id);
    return 0;
}

static void list_keys(struct all *all)
{
    uint64_t keys[ALL_KEYS];
    size_t n = bid_keys(run.table, keys, ALL_KEYS);
    for (size_t i = 0; i < n && i < ALL_KEYS; i++)
        see(all, keys[i], BID_OK, NULL);
}

/* The keys in question, then some of the background. */
static void look_many_up(struct all *all)
{
    uint64_t keys[MANY_KEYS];
    uint8_t ids[MANY_KEYS][BID_ID_MAX], lengths[MANY_KEYS];
    for (uint32_t i = 0; i < MANY_KEYS; i++)
        keys[i] = i < run.plan->keys ? plan_key(run.plan, i) : plan_background_key(run.plan, i);
    bid_lookup_many(run.table, keys, MANY_KEYS, ids[0], sizeof ids[0], lengths);
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        struct bid_build_id id = {.length = lengths[i] == BID_LENGTH_NO_BUILD_ID ? 0 : lengths[i]};
        memcpy(id.bytes, ids[i], sizeof id.bytes);
        if (lengths[i])
            see(all, keys[i], id.length ? BID_OK : BID_NO_BUILD_ID, &id);
    }
}

static void call_on_all(struct all *all, uint32_t kind)
{
    if (kind == HISTORY_LOOKUP_MANY)
        look_many_up(all);
    else if (kind == HISTORY_KEYS)
        list_keys(all);
    else
        bid_iterate(run.table, visit, all);
}

/* A key that had an entry all the time must be seen: the operation on one that was not is "absent", at some moment. */
static void record_all(struct worker *worker, const struct history_op *planned, unsigned level, int trap)
{
    struct all all = {.seen = {0}};
    int resizing = bid_resizing(run.table);
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        all.op[i] = new_op(worker, planned);
        all.op[i]->key = i;
        all.op[i]->level = level;
        all.op[i]->status = BID_ABSENT;
    }
    for (uint32_t i = 0; i < run.plan->keys; i++)
        all.op[i]->invoked = now();
    if (trap)
        trap_on();
    call_on_all(&all, planned->kind);
    if (trap)
        trap_off();
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        all.op[i]->returned = now();
        count_op(all.op[i], resizing, &worker->tally);
    }
}

static void perform(struct worker *worker, const struct history_op *planned, unsigned level, int trap)
{
    if (planned->kind == HISTORY_LOOKUP_MANY || planned->kind == HISTORY_ITERATE || planned->kind == HISTORY_KEYS) {
        record_all(worker, planned, level, trap);
        return;
    }
    struct history_op *op = new_op(worker, planned);
    op->level = level;
    record(op, trap, &worker->tally);
}

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
        perform(worker, &run.plan->handler[worker->number][number].op, level, 0);
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
        perform(worker, &step->op, 0, step->trap_after != 0);
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
    record(op, 0, tally);
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
