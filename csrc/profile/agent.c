/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The profiler in the process that it profiles: start, stop, and a thread that keeps the mappings current and writes
 * down their names. The handler itself is sample.c.
 *
 * The mappings are never destroyed, for a handler may be using them at any time; the next start goes on with them.
 */
#define _GNU_SOURCE
#include "profile.h"

#include "../resolve/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static struct {
    _Atomic(struct bid_profile *) profile; /* NULL: handlers count nothing */
    bid_word handlers;                     /* that are running */
    struct bid_maps *maps;
    size_t bytes; /* of the file */
    pthread_t thread;
    int stop; /* stop.h; -1: nothing is running */
    int error;
    sem_t started;
} agent = {.stop = -1};

static void on_sample(uint64_t ip, uint64_t ticks, int late)
{
    bid_add(&agent.handlers, 1, memory_order_seq_cst); /* with bid_profile_stop(): it sees this, or this sees NULL */
    struct bid_profile *profile = bid_load(&agent.profile, memory_order_seq_cst);
    if (profile && late)
        bid_add(&profile->late, 1, BID_RELAXED);
    else if (profile)
        bid_profile_sample(profile, agent.maps, ip, ticks);
    bid_sub(&agent.handlers, 1, memory_order_release);
}

/* ---------------------------------------------------------------------------------------------- the thread -- */

static void follow(struct bid_profile *profile)
{
    if (bid_maps_refresh(agent.maps) == BID_OK)
        bid_profile_modules(profile, agent.maps, 0);
    if (profile->flags & BID_PROFILE_EVICT)
        bid_profile_evict(agent.maps);
}

static void *run(void *argument)
{
    struct bid_profile *profile = argument;
    agent.error = bid_profile_arm(profile, on_sample);
    sem_post(&agent.started);
    while (!agent.error && !bid_stop_wait(agent.stop, (int)profile->follow_ms))
        follow(profile);
    return NULL;
}

/* With all signals blocked, so that none of the program's is delivered there. */
static int start_thread(struct bid_profile *profile)
{
    sigset_t all, before;
    sem_init(&agent.started, 0, 0);
    agent.stop = bid_stop_make();
    if (agent.stop < 0)
        return errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&agent.thread, NULL, run, profile);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) {
        while (sem_wait(&agent.started) != 0)
            ;
        error = agent.error;
        if (error)
            pthread_join(agent.thread, NULL);
    }
    if (error) {
        close(agent.stop);
        agent.stop = -1;
    }
    return error;
}

static void stop_thread(void)
{
    bid_stop_tell(agent.stop);
    pthread_join(agent.thread, NULL);
    close(agent.stop);
    agent.stop = -1;
}

/* ------------------------------------------------------------------------------------------ start and stop -- */

static int is_profile(const struct bid_profile *profile, uint64_t bytes)
{
    return bytes >= sizeof *profile && memcmp(profile->magic, BID_PROFILE_MAGIC, sizeof profile->magic) == 0 &&
           profile->frequency && profile->frequency <= 100000 && profile->follow_ms && profile->follow_ms <= INT_MAX &&
           profile->entries && !(profile->entries & (profile->entries - 1)) &&
           bytes == sizeof *profile + profile->entries * sizeof profile->table[0] + profile->module_bytes;
}

/* Mapped and present, so that a handler takes no page fault for it. `pybuildid profile` gives a memfd: of a file on disk each
 * page is write-protected again whenever it is written back, and the next count in it would fault. */
static int open_profile(const char *path, struct bid_profile **profile)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (!error && fstat(fd, &status) != 0)
        error = errno;
    if (!error) {
        agent.bytes = (size_t)status.st_size;
        *profile = mmap(NULL, agent.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        error = *profile == MAP_FAILED ? errno : 0;
    }
    if (fd >= 0)
        close(fd);
    if (!error && !is_profile(*profile, agent.bytes)) {
        munmap(*profile, agent.bytes);
        error = EINVAL;
    }
    return error;
}

static int errno_of(int status)
{
    return status >= 0 ? 0 : status == BID_E_NO_MEMORY ? ENOMEM : ENOTSUP;
}

static int ready_maps(struct bid_profile *profile)
{
    int status = agent.maps ? BID_OK : bid_maps_create(&agent.maps, NULL);
    if (status == BID_OK)
        status = bid_maps_refresh(agent.maps);
    if (status >= 0)
        bid_profile_modules(profile, agent.maps, 1);
    return errno_of(status);
}

EXPORTED int bid_profile_start(const char *path)
{
    struct bid_profile *profile = NULL;
    if (agent.stop >= 0)
        return EBUSY;
    int error = open_profile(path, &profile);
    if (error)
        return error;
    error = ready_maps(profile);
    bid_store(&agent.profile, error ? NULL : profile, memory_order_seq_cst);
    if (!error)
        error = start_thread(profile);
    if (!error) {
        bid_add(&profile->processes, 1, BID_RELAXED);
        return 0;
    }
    bid_store(&agent.profile, NULL, memory_order_seq_cst);
    munmap(profile, agent.bytes);
    return error;
}

/* Handlers that are running end soon, unless their thread is stopped, or is one that a fork left behind: then the file
 * stays mapped. */
static int handlers_done(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 1000; i++) {
        if (!bid_load(&agent.handlers, memory_order_seq_cst)) /* pairs with on_sample() */
            return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

EXPORTED void bid_profile_stop(void)
{
    struct bid_profile *profile = bid_load(&agent.profile, memory_order_relaxed);
    if (agent.stop < 0)
        return;
    stop_thread();
    bid_profile_disarm();
    bid_store(&agent.profile, NULL, memory_order_seq_cst);
    if (handlers_done())
        munmap(profile, agent.bytes);
}

/* ---------------------------------------------------------------------------------------- in LD_PRELOAD -- */

/* The child of a fork has the file and the mappings, but no thread, and no events of its own. */
static void in_child(void)
{
    struct bid_profile *profile = bid_load(&agent.profile, memory_order_relaxed);
    if (!profile)
        return;
    bid_profile_disarm();
    close(agent.stop);
    agent.stop = -1;
    if (start_thread(profile) == 0)
        bid_add(&profile->processes, 1, BID_RELAXED);
    else
        bid_store(&agent.profile, NULL, BID_RELAXED);
}

static void refuse(const char *path)
{
    struct bid_profile *profile;
    if (open_profile(path, &profile) != 0)
        return;
    bid_add(&profile->refused, 1, BID_RELAXED);
    munmap(profile, agent.bytes);
}

/* A failure says nothing here: it is another's program. Whoever made the file sees that nobody counted. */
__attribute__((constructor)) static void start_preloaded(void)
{
    const char *path = getenv("PYBUILDID_PROFILE");
    pthread_atfork(NULL, NULL, in_child);
    if (path && bid_profile_is_go())
        refuse(path);
    else if (path)
        bid_profile_start(path);
}
