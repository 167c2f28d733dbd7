/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A thread of ours in a program that should not notice: see guest.c. */
#ifndef BID_GUEST_H
#define BID_GUEST_H

#include "../table/bid_atomic.h"

#include <sys/types.h>

struct bid_guest {
    bid_word told;  /* to end */
    pid_t thread;   /* its number in the kernel */
    int privileged; /* it had capabilities when it began */
};

/* The calling thread, which blocks all signals already, becomes a guest. Returns whether it could; if not it is as
 * before, and should end. Context: thread. Progress: blocking (system calls). May change errno. */
int bid_guest_begin(struct bid_guest *guest);

/* For the guest itself, when it was told to end, as the last thing that it does. */
void bid_guest_end(const struct bid_guest *guest);

/* Waits for so many milliseconds, or until told to end, and returns whether it was told. For the guest itself. */
int bid_guest_wait(struct bid_guest *guest, unsigned milliseconds);

/* Tells a guest that has begun to end. For other threads of its process, once. */
void bid_guest_stop(struct bid_guest *guest);

#endif
