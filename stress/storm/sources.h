/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What interrupts a thread: perf events that send a signal after so much of its CPU time, POSIX timers, and signals
 * that another thread directs at it. Each has a signal of its own, so that handlers interrupt handlers.
 */
#ifndef SOURCES_H
#define SOURCES_H

#include "shared.h"

#include <signal.h>
#include <time.h>

struct source_set {
    int perf_fd; /* -1: none */
    timer_t timer;
    int has_timer;
};

/* The signal of a source. */
int source_signal(enum storm_source source);

/* Arms perf events and a timer for the calling thread; `cookie` comes back through source_cookie(). Returns the bits of
 * the sources that are in use. *perf_errno is why perf is not. */
uint32_t source_arm(struct source_set *set, uint32_t allowed, uint32_t period_us, void *cookie, uint32_t *perf_errno);
void source_period(const struct source_set *set, uint32_t period_us); /* from any thread of the process */
void source_disarm(struct source_set *set);

/* Directs the third signal at a thread of this process. */
void source_direct(int tid, void *cookie);

void *source_cookie(enum storm_source source, const siginfo_t *info);

#endif
