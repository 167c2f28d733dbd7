/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Waiting for a word in shared memory to change: no descriptor, no thread. */
#ifndef BID_FUTEX_H
#define BID_FUTEX_H

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t bid_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Returns once the word is not `value`, after so many milliseconds, at a signal, or for no reason. */
static inline void bid_futex_wait(_Atomic(uint32_t) *word, uint32_t value, uint64_t milliseconds)
{
    struct timespec time = {.tv_sec = (time_t)(milliseconds / 1000), .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &time, NULL, 0);
}

static inline void bid_futex_wake(_Atomic(uint32_t) *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#endif
