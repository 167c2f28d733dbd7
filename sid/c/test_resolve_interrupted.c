/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses in NMI context, the interruptions: refreshes that handlers and other threads interrupt anywhere, and after
 * each instruction, or that stop half way. test_resolve.c has the answers.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#define ROUNDS 400

/* ---------------------------------------------------------------------------------------------- the storm -- */

/*
 * Two files take turns at one address, each refreshed in; handlers and readers look at it and at own code. Own code is
 * always resolved. The turns are seen in order: what is seen is the file of this turn or of the last, and once of this
 * then no more of the last.
 */
static struct {
    uint64_t place;
    atomic_ulong begun, done; /* turns */
    atomic_ulong lookups, handlers, in_refresh;
    atomic_int refreshing, stop;
    struct bid_stack_build_id own;
} storm;

static void look(uint64_t *newest)
{
    struct bid_stack_build_id record;
    CHECK(bid_resolve(maps, (uintptr_t)look, &record, NULL) == BID_RESOLVED);
    CHECK(memcmp(&record, &storm.own, sizeof record) == 0);
    uint64_t low = atomic_load(&storm.done);
    int reason = bid_resolve(maps, storm.place, &record, NULL);
    uint64_t high = atomic_load(&storm.begun);
    CHECK(reason == BID_RESOLVED);
    low = low > *newest ? low : *newest;
    CHECK(low <= high);
    if (high - low >= 8)
        return; /* stopped for so long in between that each file had its turn */
    uint64_t turn = low;
    while (turn <= high && record.build_id[0] != (uint8_t)(10 + turn % 8))
        turn++;
    CHECK(turn <= high); /* neither before what was seen, nor after what was begun, nor torn */
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        CHECK(record.build_id[i] == (uint8_t)(10 + turn % 8 + i));
    *newest = turn;
    atomic_fetch_add(&storm.lookups, 1);
}

static void on_signal(int signal)
{
    static uint64_t newest; /* SIGPROF is blocked in all threads but one */
    (void)signal;
    look(&newest);
    atomic_fetch_add(&storm.handlers, 1);
    atomic_fetch_add(&storm.in_refresh, (unsigned long)atomic_load(&storm.refreshing));
}

static void *reader(void *argument)
{
    uint64_t newest = 0;
    while (!atomic_load(&storm.stop)) {
        look(&newest);
        pthread_kill(*(pthread_t *)argument, SIGPROF);
    }
    return NULL;
}

static void *refresher(void *argument)
{
    (void)argument;
    while (!atomic_load(&storm.stop)) {
        int status = bid_maps_refresh(maps);
        CHECK(status == BID_OK || status == BID_EXISTS || status == BID_E_RETIRED);
    }
    return NULL;
}

static void block(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

/* On few processors a reader that was preempted keeps snapshots from being freed for a while. */
static void turn(unsigned number)
{
    static const char *const names[8] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    int status;
    atomic_store(&storm.begun, number);
    map_code(in_directory(names[number % 8]), (void *)(storm.place - PAGE));
    atomic_store(&storm.refreshing, 1);
    while ((status = bid_maps_refresh(maps)) == BID_E_RETIRED)
        sched_yield();
    CHECK(status == BID_OK || status == BID_EXISTS);
    atomic_store(&storm.refreshing, 0);
    atomic_store(&storm.done, number);
}

static void run_storm(void)
{
    pthread_t threads[2], self = pthread_self();
    for (unsigned i = 0; i < 8; i++)
        make_elf(in_directory((char[2]){(char)('0' + i), 0}), (uint8_t)(10 + i), 20);
    storm.place = map_code(in_directory("0"), NULL);
    refresh();
    CHECK(bid_resolve(maps, (uintptr_t)look, &storm.own, NULL) == BID_RESOLVED);
    block(SIG_BLOCK);
    signal(SIGPROF, on_signal);
    CHECK(pthread_create(&threads[0], NULL, reader, &self) == 0);
    CHECK(pthread_create(&threads[1], NULL, refresher, NULL) == 0);
    block(SIG_UNBLOCK);
    unsigned turns = 0;
    while (turns < ROUNDS || (atomic_load(&storm.in_refresh) < 1000 && turns < 10 * ROUNDS))
        turn(++turns);
    atomic_store(&storm.stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    signal(SIGPROF, SIG_IGN);
    unmap_code(storm.place);
    for (int i = 0; i < 3; i++) /* what one refresh retires, the next frees */
        refresh();
    CHECK(bid_maps_waiting(maps) == 0);
    CHECK(atomic_load(&storm.in_refresh) > 0);
    printf("storm: %u turns, %lu lookups, %lu from handlers, %lu of them inside a refresh\n", turns,
           atomic_load(&storm.lookups), atomic_load(&storm.handlers), atomic_load(&storm.in_refresh));
}

/* ------------------------------------------------------------------------------------ every instruction -- */

#if defined(__x86_64__)
#define TRAP_FLAG 0x100
#define STOP_EVERY 1009
static struct {
    uint64_t steps, place;
    int now, next; /* the first byte of the ID of the file at place, before and after */
    int stopping;  /* the stepped thread stops now and then, until another has mapped a file and refreshed */
    atomic_int asked, answered;
} step;

static void map_number(unsigned number)
{
    map_code(in_directory((char[2]){(char)('0' + number % 8), 0}), (void *)(step.place - PAGE));
}

/* The other thread: a file of its own for each question. */
static void *answer(void *argument)
{
    (void)argument;
    for (int turn = 1;; turn++) {
        while (atomic_load(&step.asked) < turn)
            if (atomic_load(&step.asked) < 0)
                return NULL;
        map_number((unsigned)turn);
        refresh();
        atomic_store(&step.answered, turn);
    }
}

static void stop_here(void)
{
    int turn = atomic_fetch_add(&step.asked, 1) + 1;
    while (atomic_load(&step.answered) < turn)
        ;
    step.now = step.next = 10 + turn % 8;
}

/* The file that was there or the one that comes, and never back; own code always. */
static void on_step(int signal, siginfo_t *info, void *context)
{
    struct bid_stack_build_id record;
    (void)signal, (void)info, (void)context;
    if (++step.steps % STOP_EVERY == 0 && step.stopping)
        stop_here();
    CHECK(bid_resolve(maps, (uintptr_t)look, &record, NULL) == BID_RESOLVED);
    CHECK(memcmp(&record, &storm.own, sizeof record) == 0);
    CHECK(bid_resolve(maps, step.place, &record, NULL) == BID_RESOLVED);
    CHECK(record.build_id[0] == step.now || record.build_id[0] == step.next);
    step.now = record.build_id[0];
}

static void set_trap_flag(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

/* A refresh that publishes and retires, and the next, which frees. */
static void stepped(void)
{
    step.place = map_code(in_directory("plain"), NULL);
    refresh();
    refresh();
    step.now = 1, step.next = 9;
    handle(SIGTRAP, on_step), handle(SIGUSR1, set_trap_flag), handle(SIGUSR2, set_trap_flag);
    map_code(in_directory("short"), (void *)(step.place - PAGE));
    raise(SIGUSR1);
    int first = bid_maps_refresh(maps);
    int second = bid_maps_refresh(maps);
    raise(SIGUSR2);
    CHECK(first == BID_OK && second == BID_EXISTS && step.now == 9 && bid_maps_waiting(maps) == 0);
    CHECK(step.steps > 10000);
    printf("stepped: a lookup after each of %lu instructions of two refreshes\n", (unsigned long)step.steps);
}

/* A refresh that stops at every 1,009th instruction, until another thread has published something newer: that thread is
 * never kept from it, and what it published is never replaced by what the stopped one had read before. */
static void stopped(void)
{
    pthread_t other;
    CHECK(pthread_create(&other, NULL, answer, NULL) == 0);
    step.stopping = 1;
    unmap_code(step.place);
    map_number(0);
    step.next = 10;
    raise(SIGUSR1);
    int status = bid_maps_refresh(maps);
    raise(SIGUSR2);
    CHECK(status == BID_OK || status == BID_EXISTS);
    CHECK(step.now == 10 + atomic_load(&step.asked) % 8);
    printf("stopped: %d times in one refresh\n", atomic_load(&step.asked));
    atomic_store(&step.asked, -1);
    pthread_join(other, NULL);
    unmap_code(step.place);
    for (int i = 0; i < 3; i++)
        refresh();
    CHECK(bid_maps_waiting(maps) == 0);
}
#else
static void stepped(void)
{
    printf("skipped: single-stepping by the trap flag is x86-64's\n");
}

static void stopped(void)
{
}
#endif
int main(void)
{
    begin_mapping();
    make_elf(in_directory("plain"), 1, 20);
    make_elf(in_directory("short"), 9, 8);
    run_storm();
    stepped();
    stopped();
    bid_maps_destroy(maps);
    remove_directory();
    return 0;
}
