/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The thread that keeps the mappings current. It refreshes from time to time, which publishes a snapshot if the
 * executable ranges have changed: that finds dlopen(), dlclose(), and code mapped by any other means. The counters
 * of dl_iterate_phdr() would find the first two only, under a lock.
 * An error of a refresh (no memory, say) leaves the last snapshot in place, and the next round tries again.
 *
 * The thread leaves the program as it is (guest.c): it has a table of descriptors of its own, runs no handler of the
 * program, and has no ids or capabilities that the program does not have.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "snapshot.h"
#include "wiped.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#define DAY 86400000u

/* In memory that a fork wipes: in a child there is no such thread. */
struct bid_follower {
    struct bid_maps *maps;
    pthread_t thread;
    struct bid_guest guest;
    unsigned milliseconds;
    int running;
    int status; /* of the start */
    sem_t started;
};

static void *run(void *argument)
{
    struct bid_follower *follower = argument;
    follower->status = bid_guest_begin(&follower->guest) ? BID_OK : BID_E_UNSUPPORTED;
    sem_post(&follower->started); /* pairs with start() */
    if (follower->status != BID_OK)
        return NULL;
    while (!bid_guest_wait(&follower->guest, follower->milliseconds))
        bid_maps_refresh(follower->maps);
    bid_guest_end(&follower->guest);
    return NULL;
}

void bid_follower_stop(struct bid_maps *maps)
{
    struct bid_follower *follower = maps->follower;
    if (!follower)
        return;
    maps->follower = NULL;
    if (follower->running) {
        bid_guest_stop(&follower->guest);
        pthread_join(follower->thread, NULL);
    }
    bid_platform_unmap(follower, sizeof *follower);
}

static int start(struct bid_follower *follower)
{
    sigset_t all, before;
    sem_init(&follower->started, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&follower->thread, NULL, run, follower);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return BID_E_NO_MEMORY;
    while (sem_wait(&follower->started) != 0) /* pairs with run() */
        ;
    if (follower->status != BID_OK)
        pthread_join(follower->thread, NULL);
    follower->running = follower->status == BID_OK;
    return follower->status;
}

int bid_maps_follow(struct bid_maps *maps, unsigned milliseconds)
{
    if (!maps)
        return BID_E_NULL;
    bid_follower_stop(maps);
    if (!milliseconds)
        return BID_OK;
    struct bid_follower *follower = bid_wiped_map(sizeof *follower);
    if (!follower)
        return BID_E_NO_MEMORY;
    follower->maps = maps;
    follower->milliseconds = milliseconds < DAY ? milliseconds : DAY;
    int status = start(follower);
    if (status == BID_OK)
        maps->follower = follower;
    else
        bid_platform_unmap(follower, sizeof *follower);
    return status;
}
