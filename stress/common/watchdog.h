/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The end of a child that does not end by itself: by its processor time, for the machine may be busy. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that waits without using a processor is given thirty times as long. */
static inline void watchdog(unsigned seconds)
{
    struct rlimit limit = {seconds, seconds + 1};
    setrlimit(RLIMIT_CPU, &limit);
    alarm(30 * seconds);
}

/* Whether a status from waitpid() says that it came to that. */
static inline int watchdog_bit(int status)
{
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGALRM);
}

#endif
