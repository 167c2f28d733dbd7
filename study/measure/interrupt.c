/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups from a signal handler that interrupts the updater: see interrupt.h. */
#define _GNU_SOURCE
#include "interrupt.h"

#include "clock.h"
#include "timing.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PERIOD_NS (50 * 1000)
#define WATCH_NS (20 * 1000 * 1000)
#define BLOCKED_CPU_NS (500 * 1000 * 1000ull)
#define BLOCKED_NS (2 * 1000 * 1000 * 1000ull)

/* Shared by the child and its watchdog. */
struct shared {
    _Atomic(uint64_t) begun, ended;
    atomic_int done, status;
    struct interrupt_result result;
};

static void *share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* ----------------------------------------------------------------------------------------------- child -- */

static struct {
    const struct bid_design *design;
    void *table;
    uint64_t *keys;
    size_t n;
    struct shared *shared;
    uint64_t turn;
    volatile uint64_t current;       /* the key that is being updated, or was last */
    volatile sig_atomic_t in_update; /* between the marks around a call of the design */
} child;

static void judge(uint64_t key, int may_be_absent)
{
    struct interrupt_result *result = &child.shared->result;
    struct bid_build_id id;
    uint8_t expected[BID_ID_NARROW];
    atomic_fetch_add_explicit(&child.shared->begun, 1, memory_order_relaxed);
    int status = child.design->lookup(child.table, key, &id, NULL);
    atomic_fetch_add_explicit(&child.shared->ended, 1, memory_order_relaxed);
    timing_id(key, expected);
    if (status == RIVAL_BUSY || status == RIVAL_NOT_IN_MEMORY)
        result->busy++;
    else if ((status == BID_ABSENT && may_be_absent) ||
             (status == BID_OK && id.length == sizeof expected && !memcmp(id.bytes, expected, sizeof expected)))
        result->answered++;
    else
        result->wrong++;
}

static void on_timer(int signal)
{
    int error = errno;
    (void)signal;
    child.shared->result.interruptions++;
    child.shared->result.in_update += (uint64_t)child.in_update;
    judge(child.current, 1);
    judge(child.keys[child.turn++ % (child.n / 2)], 0);
    errno = error;
}

static int update(int insert, uint64_t key)
{
    uint8_t id[BID_ID_NARROW];
    int status;
    timing_id(key, id);
    child.current = key;
    child.in_update = 1;
    status = insert ? child.design->insert(child.table, key, 0, id, sizeof id) : child.design->remove(child.table, key);
    child.in_update = 0;
    child.shared->result.updates++;
    return status == BID_OK;
}

static int start_timer(void)
{
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    struct itimerspec period = {{0, PERIOD_NS}, {0, PERIOD_NS}};
    timer_t timer;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    return sigaction(SIGALRM, &action, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer) ||
           timer_settime(timer, 0, &period, NULL);
}

static int fill(uint64_t expected, const uint64_t *keys, size_t n)
{
    child.table = child.design->create(expected, 1);
    child.keys = malloc(n * sizeof *keys);
    if (!child.table || !child.keys)
        return INTERRUPT_E_SYSTEM;
    memcpy(child.keys, keys, n * sizeof *keys);
    if (timing_objects(child.design, child.table, child.keys, n) != TIMING_OK)
        return INTERRUPT_E_SYSTEM;
    child.n = n;
    child.current = child.keys[0];
    for (size_t i = 0; i < n / 2; i++)
        if (!update(1, child.keys[i]))
            return INTERRUPT_E_UPDATE;
    child.shared->result.updates = 0;
    return INTERRUPT_OK;
}

static int update_until(uint64_t deadline)
{
    while (now_ns() < deadline)
        for (int insert = 1; insert >= 0; insert--)
            for (size_t i = child.n / 2; i < child.n; i++)
                if (!update(insert, child.keys[i]))
                    return INTERRUPT_E_UPDATE;
    return INTERRUPT_OK;
}

static _Noreturn void run_child(uint64_t expected, const uint64_t *keys, size_t n, double seconds)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = fill(expected, keys, n);
    if (status == INTERRUPT_OK)
        status = start_timer() ? INTERRUPT_E_SYSTEM : update_until(now_ns() + (uint64_t)(seconds * 1e9));
    if (child.design->resizes)
        child.shared->result.resizes = child.design->resizes(child.table);
    atomic_store(&child.shared->status, status);
    atomic_store(&child.shared->done, 1);
    _exit(0);
}

/* -------------------------------------------------------------------------------------------- watchdog -- */

/* Returns when the child has ended, or is killed because a lookup never ends. */
static int watch(pid_t pid, struct shared *shared)
{
    uint64_t begun = 0, since = now_ns(), cpu_since = 0;
    clockid_t cpu;
    int state, has_cpu = clock_getcpuclockid(pid, &cpu) == 0;
    while (waitpid(pid, &state, WNOHANG) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = WATCH_NS}, NULL);
        uint64_t now = now_ns(), used = has_cpu ? clock_ns(cpu) : 0;
        if (atomic_load(&shared->begun) != begun || atomic_load(&shared->ended) == begun) {
            begun = atomic_load(&shared->begun);
            since = now;
            cpu_since = used;
        } else if (used - cpu_since > BLOCKED_CPU_NS || (now - since > BLOCKED_NS && used == cpu_since)) {
            shared->result.blocked = 1;
            kill(pid, SIGKILL);
            waitpid(pid, &state, 0);
            return INTERRUPT_OK;
        }
    }
    return atomic_load(&shared->done) ? atomic_load(&shared->status) : INTERRUPT_E_SYSTEM;
}

int interrupt_run(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, double seconds,
                  struct interrupt_result *result)
{
    struct shared *shared = share(sizeof *shared);
    if (!shared)
        return INTERRUPT_E_SYSTEM;
    pid_t pid = fork();
    if (pid == 0) {
        child.design = design;
        child.shared = shared;
        run_child(expected, keys, n, seconds);
    }
    int status = pid < 0 ? INTERRUPT_E_SYSTEM : watch(pid, shared);
    *result = shared->result;
    munmap(shared, sizeof *shared);
    return status;
}

/* ---------------------------------------------------------------------------------------- instructions -- */

#if defined(__x86_64__)

#define TRAP_FLAG 0x100

static volatile uint32_t steps;

static void on_step(int signal)
{
    (void)signal;
    steps++;
}

static void set_trap_flag(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

typedef int (*lookup_function)(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);

static int nothing(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    (void)design, (void)key, (void)id, (void)cost;
    return 0;
}

static __attribute__((noinline)) uint32_t count_steps(lookup_function lookup, void *table, uint64_t key)
{
    struct bid_build_id id;
    steps = 0;
    raise(SIGUSR1);
    lookup(table, key, &id, NULL);
    raise(SIGUSR2);
    return steps;
}

/* An empty function is two instructions (it sets its result and returns). */
static _Noreturn void count_child(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                                  uint32_t *instructions)
{
    struct sigaction flag = {.sa_sigaction = set_trap_flag, .sa_flags = SA_SIGINFO}, step = {.sa_handler = on_step};
    lookup_function volatile empty = nothing;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sigaction(SIGUSR1, &flag, NULL) || sigaction(SIGUSR2, &flag, NULL) || sigaction(SIGTRAP, &step, NULL))
        _exit(1);
    count_steps(empty, table, keys[0]);
    uint32_t around = count_steps(empty, table, keys[0]) - 2;
    count_steps(design->lookup, table, keys[0]);
    for (size_t i = 0; i < n; i++)
        instructions[i] = count_steps(design->lookup, table, keys[i]) - around;
    _exit(0);
}

int interrupt_count(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                    uint32_t *instructions)
{
    uint32_t *counts = share(INTERRUPT_STEPPED_MAX * sizeof *counts);
    int state;
    if (!counts || n > INTERRUPT_STEPPED_MAX)
        return INTERRUPT_E_SYSTEM;
    pid_t pid = fork();
    if (pid == 0)
        count_child(design, table, keys, n, counts);
    int ok = pid > 0 && waitpid(pid, &state, 0) == pid && state == 0;
    memcpy(instructions, counts, n * sizeof *counts);
    munmap(counts, INTERRUPT_STEPPED_MAX * sizeof *counts);
    return ok ? INTERRUPT_OK : INTERRUPT_E_SYSTEM;
}

#else

int interrupt_count(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                    uint32_t *instructions)
{
    (void)design, (void)table, (void)keys;
    memset(instructions, 0, n * sizeof *instructions);
    return INTERRUPT_OK;
}

#endif
