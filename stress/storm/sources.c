/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "sources.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

int source_signal(enum storm_source source)
{
    return source == STORM_PERF ? SIGTRAP : source == STORM_TIMER ? SIGRTMIN : SIGRTMIN + 1;
}

/* struct perf_event_attr up to sig_data (Linux 5.13), by offsets, since older headers lack its last fields. */
#define SOURCE_PERF_SIZE 128 /* PERF_ATTR_SIZE_VER7 */
#define SOURCE_FLAGS 40      /* offset of the flag bits */
#define SOURCE_SIG_DATA 120  /* offset of sig_data */
#define SOURCE_REMOVE_ON_EXEC (1ull << 36)
#define SOURCE_SIGTRAP (1ull << 37)

/* A software clock that counts this thread's CPU time, and a SIGTRAP each time a period of it is over. */
static int source_perf_open(uint32_t period_us, void *cookie)
{
    union {
        struct perf_event_attr attr;
        unsigned char bytes[SOURCE_PERF_SIZE];
    } event;
    uint64_t flags, data = (uintptr_t)cookie;
    memset(&event, 0, sizeof event);
    event.attr.type = PERF_TYPE_SOFTWARE;
    event.attr.config = PERF_COUNT_SW_TASK_CLOCK;
    event.attr.size = SOURCE_PERF_SIZE;
    event.attr.sample_period = period_us * 1000ull;
    event.attr.disabled = 1;
    event.attr.exclude_kernel = 1;
    event.attr.exclude_hv = 1;
    memcpy(&flags, event.bytes + SOURCE_FLAGS, sizeof flags);
    flags |= SOURCE_REMOVE_ON_EXEC | SOURCE_SIGTRAP;
    memcpy(event.bytes + SOURCE_FLAGS, &flags, sizeof flags);
    memcpy(event.bytes + SOURCE_SIG_DATA, &data, sizeof data);
    return (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int source_timer_create(timer_t *timer, void *cookie)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = source_signal(STORM_TIMER);
    event.sigev_value.sival_ptr = cookie;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    return timer_create(CLOCK_MONOTONIC, &event, timer);
}

uint32_t source_arm(struct source_set *set, uint32_t allowed, uint32_t period_us, void *cookie, uint32_t *perf_errno)
{
    uint32_t armed = allowed & 1u << STORM_DIRECTED;
    set->perf_fd = allowed & 1u << STORM_PERF ? source_perf_open(period_us, cookie) : -1;
    if (set->perf_fd >= 0)
        armed |= 1u << STORM_PERF;
    else if (allowed & 1u << STORM_PERF)
        *perf_errno = (uint32_t)errno;
    set->has_timer = allowed & 1u << STORM_TIMER && source_timer_create(&set->timer, cookie) == 0;
    if (set->has_timer)
        armed |= 1u << STORM_TIMER;
    source_period(set, period_us);
    if (set->perf_fd >= 0)
        ioctl(set->perf_fd, PERF_EVENT_IOC_ENABLE, 0);
    return armed;
}

/* The timer is a little slower than perf, so that the two do not beat in step. */
void source_period(const struct source_set *set, uint32_t period_us)
{
    uint64_t period_ns = period_us * 1000ull;
    struct itimerspec spec = {.it_interval.tv_nsec = (long)(period_ns * 13 / 10), .it_value.tv_nsec = (long)period_ns};
    if (set->perf_fd >= 0)
        ioctl(set->perf_fd, PERF_EVENT_IOC_PERIOD, &period_ns);
    if (set->has_timer)
        timer_settime(set->timer, 0, &spec, NULL);
}

void source_disarm(struct source_set *set)
{
    if (set->perf_fd >= 0)
        close(set->perf_fd);
    if (set->has_timer)
        timer_delete(set->timer);
    set->perf_fd = -1;
    set->has_timer = 0;
}

void source_direct(int tid, void *cookie)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = source_signal(STORM_DIRECTED);
    info.si_code = SI_QUEUE;
    info.si_value.sival_ptr = cookie;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, info.si_signo, &info);
}

/* A perf signal carries it in si_perf_data, which follows si_addr (Linux 5.13); the others in si_value. */
void *source_cookie(enum storm_source source, const siginfo_t *info)
{
    if (source != STORM_PERF)
        return info->si_value.sival_ptr;
    uintptr_t data;
    memcpy(&data, (const char *)&info->si_addr + sizeof info->si_addr, sizeof data);
    return (void *)data;
}
