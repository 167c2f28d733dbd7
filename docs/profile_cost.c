/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A CPU-bound program with stacks of 22 frames, which says how much CPU time it took.
 *
 *     profile_cost ROUNDS [FREQUENCY]
 *
 * With a frequency it is interrupted so often, as the profiler does it, by an event whose handler does nothing: what
 * the kernel and the machine take for that, no profiler can do without. */
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 20

static volatile unsigned counter, handled;

__attribute__((noinline)) static void work(void)
{
    for (int i = 0; i < 100; i++)
        counter++;
}

__attribute__((noinline)) static void descend(int depth)
{
    if (depth)
        descend(depth - 1);
    else
        work();
    __asm__ volatile(""); /* no tail call */
}

static void on_event(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handled++;
}

static void interrupt(long frequency)
{
    struct sigaction action = {.sa_sigaction = on_event, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_TASK_CLOCK};
    event.size = sizeof event;
    event.sample_period = 1000000000u / (unsigned long)frequency;
    event.exclude_kernel = event.exclude_hv = event.remove_on_exec = event.sigtrap = 1;
    sigaction(SIGTRAP, &action, NULL);
    if (syscall(SYS_perf_event_open, &event, 0, -1, -1, 0) < 0) {
        perror("perf_event_open");
        exit(77);
    }
}

static double cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int count, char **arguments)
{
    long rounds = count > 1 ? atol(arguments[1]) : 0;
    if (count > 2)
        interrupt(atol(arguments[2]));
    double before = cpu_time();
    for (long i = 0; i < rounds; i++)
        descend(DEPTH);
    printf("%.6f %u\n", cpu_time() - before, handled);
    return 0;
}
