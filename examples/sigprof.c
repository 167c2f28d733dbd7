/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A profiler of its own process. SIGPROF interrupts the program a thousand times a second, and the handler turns the
 * place into (build ID, file offset), which means the same on any machine that has the file.
 *
 * Build: cc -O2 -Wall -Wextra sigprof.c $(pkg-config --cflags --libs bid) -Wl,--build-id,-z,now -o sigprof
 */
#define _GNU_SOURCE
#include "program_counter.h"

#include <bid.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#define SAMPLES 1000

static struct bid_maps *maps;
static struct bid_stack_build_id samples[SAMPLES];
static volatile sig_atomic_t count;

/* Wait-free, without a lock, an allocation or a system call: so it may interrupt anything. */
static void on_sample(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    if (count < SAMPLES) {
        bid_resolve(maps, registers_of(context).pc, &samples[count], NULL);
        count = count + 1;
    }
}

/* The work that is profiled. */
__attribute__((noinline)) unsigned burn(double seconds)
{
    static volatile unsigned spun;
    for (clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC); clock() < end;)
        for (int i = 0; i < 1000000; i++)
            spun = spun * 7 + 1;
    return spun;
}

static void print(const struct bid_stack_build_id *sample)
{
    if (sample->status == BID_STACK_VALID) {
        for (int i = 0; i < BID_STACK_ID_SIZE; i++)
            printf("%02x", sample->build_id[i]);
        printf(" 0x%llx\n", (unsigned long long)sample->offset);
    } else {
        printf("? 0x%llx\n", (unsigned long long)sample->ip);
    }
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_RESTART};
    const struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    int status = bid_maps_create(&maps, NULL);
    if (status == BID_OK)
        status = bid_maps_refresh(maps); /* again after dlopen(); or bid_maps_follow() */
    if (status < 0) {
        fprintf(stderr, "sigprof: %s\n", bid_status_text(status));
        return 1;
    }
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &every, NULL);
    burn(0.2);
    setitimer(ITIMER_PROF, &never, NULL);
    signal(SIGPROF, SIG_IGN);
    for (int i = 0; i < count; i++)
        print(&samples[i]);
    bid_maps_destroy(maps);
    return 0;
}
