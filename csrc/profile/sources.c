/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where samples come from: a software clock of perf for each thread, which threads to come inherit and which interrupts
 * the thread itself by SIGTRAP (Linux 5.19); where that is not to be had, one timer of the whole process's CPU time and
 * SIGPROF, for which the kernel picks a thread (before Linux 6.4 the first one more often than it should).
 */
#define _GNU_SOURCE
#include "profile.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static struct {
    int signal; /* 0: not armed */
    int *fds, count, room;
    timer_t timer;
} armed;

/* -------------------------------------------------------------------------------------------------- perf -- */

/* struct perf_event_attr up to sig_data (Linux 5.13), by offsets, since older headers lack its last fields. */
#define ATTR_BYTES 128
#define ATTR_FLAGS 40
#define ATTR_SIG_DATA 120
#define ATTR_INHERIT_THREAD (1ull << 35)
#define ATTR_REMOVE_ON_EXEC (1ull << 36)
#define ATTR_SIGTRAP (1ull << 37)

static int open_event(int thread, uint32_t frequency)
{
    union {
        struct perf_event_attr attr;
        unsigned char bytes[ATTR_BYTES];
    } event;
    uint64_t flags, cookie = (uintptr_t)BID_PROFILE_COOKIE;
    memset(&event, 0, sizeof event);
    event.attr.type = PERF_TYPE_SOFTWARE;
    event.attr.config = PERF_COUNT_SW_TASK_CLOCK;
    event.attr.size = ATTR_BYTES;
    event.attr.sample_period = 1000000000u / frequency;
    event.attr.inherit = 1;
    event.attr.exclude_kernel = 1;
    event.attr.exclude_hv = 1;
    memcpy(&flags, event.bytes + ATTR_FLAGS, sizeof flags);
    flags |= ATTR_INHERIT_THREAD | ATTR_REMOVE_ON_EXEC | ATTR_SIGTRAP;
    memcpy(event.bytes + ATTR_FLAGS, &flags, sizeof flags);
    memcpy(event.bytes + ATTR_SIG_DATA, &cookie, sizeof cookie);
    return (int)syscall(SYS_perf_event_open, &event, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int make_room(void)
{
    if (armed.count < armed.room)
        return 0;
    int room = armed.room ? armed.room * 2 : 64;
    int *fds = realloc(armed.fds, (size_t)room * sizeof *fds);
    if (!fds)
        return ENOMEM;
    armed.fds = fds;
    armed.room = room;
    return 0;
}

/* A thread that has ended meanwhile is none to watch. */
static int watch(int thread, uint32_t frequency)
{
    int error = make_room();
    int fd = error ? -1 : open_event(thread, frequency);
    if (fd < 0)
        return error ? error : errno == ESRCH ? 0 : errno;
    armed.fds[armed.count++] = fd;
    return 0;
}

/* The threads that there are; they are listed first, for those that a watched thread starts inherit, and would count
 * twice. One that is started in this moment by a thread that is not watched yet is missed. */
static int list_threads(int **threads, int *count)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int error = tasks ? 0 : errno;
    *threads = NULL;
    *count = 0;
    while (!error && (task = readdir(tasks))) {
        int thread = atoi(task->d_name), *more;
        if (thread == 0 || thread == (int)syscall(SYS_gettid)) /* "." and "..", and the profiler's own */
            continue;
        more = realloc(*threads, (size_t)(*count + 1) * sizeof *more);
        if (!more)
            error = ENOMEM;
        else
            (*threads = more)[(*count)++] = thread;
    }
    if (tasks)
        closedir(tasks);
    return error;
}

static int watch_all(uint32_t frequency)
{
    int *threads, count, error = list_threads(&threads, &count);
    for (int i = 0; i < count && !error; i++)
        error = watch(threads[i], frequency);
    free(threads);
    return error;
}

static void close_events(void)
{
    for (int i = 0; i < armed.count; i++)
        close(armed.fds[i]);
    armed.count = 0;
}

/* From Linux 5.13 to 5.18 an event ends the program if SIGTRAP is blocked, and libc blocks all signals at times. */
static int kernel_can(void)
{
    struct utsname system;
    int version = 0, part = 0;
    return uname(&system) == 0 && sscanf(system.release, "%d.%d", &version, &part) == 2 &&
           (version > 5 || (version == 5 && part >= 19));
}

static int arm_perf(uint32_t frequency, bid_profile_handler handler)
{
    int error = kernel_can() ? bid_profile_take(SIGTRAP, handler) : ENOTSUP;
    if (error)
        return error;
    armed.signal = SIGTRAP;
    error = watch_all(frequency);
    if (error)
        bid_profile_disarm();
    return error;
}

/* ------------------------------------------------------------------------------------------------- timer -- */

static int start_timer(uint32_t frequency)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF, .sigev_value.sival_ptr = BID_PROFILE_COOKIE};
    long period = (long)(1000000000u / frequency);
    struct itimerspec spec = {.it_interval.tv_nsec = period % 1000000000, .it_value.tv_nsec = period % 1000000000};
    if (frequency == 1)
        spec.it_interval.tv_sec = spec.it_value.tv_sec = 1;
    if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &armed.timer) != 0)
        return errno;
    if (timer_settime(armed.timer, 0, &spec, NULL) == 0)
        return 0;
    int error = errno;
    timer_delete(armed.timer);
    return error;
}

static int arm_timer(uint32_t frequency, bid_profile_handler handler)
{
    int error = bid_profile_take(SIGPROF, handler);
    if (error)
        return error;
    error = start_timer(frequency);
    if (error)
        bid_profile_give_back(SIGPROF);
    else
        armed.signal = SIGPROF;
    return error;
}

/* -------------------------------------------------------------------------------------------------- both -- */

int bid_profile_arm(struct bid_profile *profile, bid_profile_handler handler)
{
    if (!(profile->flags & BID_PROFILE_TIMER) && arm_perf(profile->frequency, handler) == 0) {
        bid_or(&profile->sources, BID_PROFILE_BY_PERF, BID_RELAXED);
        return 0;
    }
    int error = arm_timer(profile->frequency, handler);
    if (!error)
        bid_or(&profile->sources, BID_PROFILE_BY_TIMER, BID_RELAXED);
    return error;
}

void bid_profile_disarm(void)
{
    close_events();
    if (armed.signal == SIGPROF)
        timer_delete(armed.timer);
    if (armed.signal)
        bid_profile_give_back(armed.signal);
    armed.signal = 0;
}
