/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One timer of the whole process's CPU time, for which the kernel picks a thread (before Linux 6.4 the first one more
 * often than it should). By system calls: libc's timer_create() may start a thread.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
    int number;
    _Atomic(int) running;
} timer;

int bid_timer_start(uint32_t frequency)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGPROF;
    event.sigev_value.sival_ptr = BID_PROFILE_COOKIE;
    long period = (long)(1000000000u / frequency);
    struct itimerspec spec = {.it_interval.tv_nsec = period % 1000000000, .it_value.tv_nsec = period % 1000000000};
    if (frequency == 1)
        spec.it_interval.tv_sec = spec.it_value.tv_sec = 1;
    if (syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &timer.number) != 0)
        return errno;
    if (syscall(SYS_timer_settime, timer.number, 0, &spec, NULL) == 0) {
        bid_store(&timer.running, 1, BID_RELAXED);
        return 0;
    }
    int error = errno;
    syscall(SYS_timer_delete, timer.number);
    return error;
}

void bid_timer_stop(void)
{
    int before = errno, running = 1;
    if (bid_cas(&timer.running, &running, 0, BID_RELAXED)) /* of several handlers one */
        syscall(SYS_timer_delete, timer.number);
    errno = before;
}

void bid_timer_forget(void)
{
    bid_store(&timer.running, 0, BID_RELAXED);
}
