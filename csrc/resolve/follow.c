/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The thread that keeps the mappings current. It refreshes from time to time, which publishes a snapshot if the
 * executable ranges have changed: that finds dlopen(), dlclose(), and code mapped by any other means. The counters
 * of dl_iterate_phdr() would find the first two only, under a lock.
 * An error of a refresh (no memory, say) leaves the last snapshot in place, and the next round tries again.
 */
#define _GNU_SOURCE
#include "snapshot.h"
#include "stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct bid_follower {
    struct bid_maps *maps;
    pthread_t thread;
    pid_t process; /* a child of a fork does not have the thread */
    int stop;      /* stop.h */
    int milliseconds;
};

static void *run(void *argument)
{
    struct bid_follower *follower = argument;
    while (!bid_stop_wait(follower->stop, follower->milliseconds))
        bid_maps_refresh(follower->maps);
    return NULL;
}

void bid_follower_stop(struct bid_maps *maps)
{
    struct bid_follower *follower = maps->follower;
    if (!follower)
        return;
    maps->follower = NULL;
    if (follower->process == getpid()) {
        bid_stop_tell(follower->stop);
        pthread_join(follower->thread, NULL);
    }
    close(follower->stop);
    free(follower);
}

static int start(struct bid_follower *follower)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&follower->thread, NULL, run, follower);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? BID_E_NO_MEMORY : BID_OK;
}

int bid_maps_follow(struct bid_maps *maps, unsigned milliseconds)
{
    if (!maps)
        return BID_E_NULL;
    bid_follower_stop(maps);
    if (!milliseconds)
        return BID_OK;
    struct bid_follower *follower = malloc(sizeof *follower);
    if (!follower)
        return BID_E_NO_MEMORY;
    *follower = (struct bid_follower){.maps = maps,
                                      .process = getpid(),
                                      .stop = bid_stop_make(),
                                      .milliseconds = milliseconds < 86400000 ? (int)milliseconds : 86400000};
    if (follower->stop < 0 || start(follower) != BID_OK) {
        close(follower->stop);
        free(follower);
        return BID_E_NO_MEMORY;
    }
    maps->follower = follower;
    return BID_OK;
}
