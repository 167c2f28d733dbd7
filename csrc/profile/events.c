/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Perf events of another process: a software clock for each thread, which threads to come inherit and which interrupts
 * the thread itself by SIGTRAP (Linux 5.19). Only while it runs code of its own: no system call ends with EINTR.
 * The descriptors are the server's. To open them takes what ptrace() takes (PTRACE_MODE_ATTACH).
 */
#define _GNU_SOURCE
#include "agent.h" /* BID_PROFILE_COOKIE */
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* struct perf_event_attr up to sig_data (Linux 5.13), by offsets, since older headers lack its last fields. */
#define ATTR_BYTES 128
#define ATTR_FLAGS 40
#define ATTR_SIG_DATA 120
#define ATTR_INHERIT_THREAD (1ull << 35) /* only by threads: the child of a fork may have no handler */
#define ATTR_REMOVE_ON_EXEC (1ull << 36) /* the next program has none either */
#define ATTR_SIGTRAP (1ull << 37)

static int open_event(pid_t thread, uint32_t frequency)
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

static int make_room(struct bid_target *target)
{
    if (target->event_count < target->event_room)
        return 0;
    int room = target->event_room ? target->event_room * 2 : 1;
    int *events = realloc(target->events, (size_t)room * sizeof *events);
    if (!events)
        return ENOMEM;
    target->events = events;
    target->event_room = room;
    return 0;
}

/* A thread that has ended meanwhile is none to watch. */
static int watch(struct bid_target *target, pid_t thread, uint32_t frequency)
{
    int error = make_room(target);
    int fd = error ? -1 : open_event(thread, frequency);
    if (fd < 0)
        return error ? error : errno == ESRCH ? 0 : errno;
    target->events[target->event_count++] = fd;
    return 0;
}

/* The threads that there are; they are listed first, for those that a watched thread starts inherit, and would count
 * twice. One that is started in this moment by a thread that is not watched yet is missed. */
static int list_threads(pid_t pid, pid_t but, pid_t **threads, int *count)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    struct dirent *task;
    int error = tasks ? 0 : errno;
    *threads = NULL;
    *count = 0;
    while (!error && (task = readdir(tasks))) {
        pid_t thread = atoi(task->d_name), *more;
        if (thread == 0 || thread == but) /* "." and ".." */
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

/* From Linux 5.13 to 5.18 an event ends the program if SIGTRAP is blocked, and libc blocks all signals at times. */
static int kernel_can(void)
{
    struct utsname system;
    int version = 0, part = 0;
    return uname(&system) == 0 && sscanf(system.release, "%d.%d", &version, &part) == 2 &&
           (version > 5 || (version == 5 && part >= 19));
}

int bid_events_open(struct bid_target *target, uint32_t frequency, pid_t but)
{
    pid_t *threads = NULL;
    int count = 0, error = kernel_can() ? list_threads(target->pid, but, &threads, &count) : ENOTSUP;
    for (int i = 0; i < count && !error; i++)
        error = watch(target, threads[i], frequency);
    free(threads);
    if (error)
        bid_events_close(target);
    return error;
}

void bid_events_close(struct bid_target *target)
{
    for (int i = 0; i < target->event_count; i++)
        close(target->events[i]);
    free(target->events);
    target->events = NULL;
    target->event_count = target->event_room = 0;
}
