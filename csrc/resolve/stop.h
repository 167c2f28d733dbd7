/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How a thread that does something from time to time is told to end: by an eventfd. */
#ifndef BID_STOP_H
#define BID_STOP_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BID_STOP_NAP 100 /* milliseconds */

/* A descriptor, or -1. */
static inline int bid_stop_make(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline void bid_stop_tell(int stop)
{
    uint64_t one = 1;
    while (write(stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Waits for so many milliseconds, or until told, and returns whether it was told. Where poll() fails (no memory; not
 * even one descriptor allowed by RLIMIT_NOFILE) it naps: the time gets shorter or longer, but is never nothing. */
static inline int bid_stop_wait(int stop, int milliseconds)
{
    struct pollfd ready = {.fd = stop, .events = POLLIN};
    uint64_t told;
    if (poll(&ready, 1, milliseconds) < 0) {
        int nap = milliseconds < BID_STOP_NAP ? milliseconds : BID_STOP_NAP;
        nanosleep(&(struct timespec){.tv_nsec = nap * 1000000l}, NULL);
    }
    return read(stop, &told, sizeof told) == sizeof told;
}

#endif
