/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Locks that spin, as the kernel's do: nothing sleeps in NMI context. Progress: blocking but for rival_trylock(). */
#ifndef RIVAL_LOCK_H
#define RIVAL_LOCK_H

#include <sched.h>
#include <stdatomic.h>

/* After this many turns a waiting thread offers its processor to others, for a holder that was taken off its own. */
#define RIVAL_SPINS 1000

static inline void rival_wait(unsigned *turns)
{
    if (++*turns % RIVAL_SPINS == 0)
        sched_yield();
}

static inline int rival_trylock(atomic_flag *lock)
{
    return !atomic_flag_test_and_set_explicit(lock, memory_order_acquire);
}

static inline void rival_lock(atomic_flag *lock)
{
    unsigned turns = 0;
    while (!rival_trylock(lock))
        rival_wait(&turns);
}

static inline void rival_unlock(atomic_flag *lock)
{
    atomic_flag_clear_explicit(lock, memory_order_release);
}

/* A read-write lock: the number of readers, or RIVAL_WRITER. */
typedef atomic_int rival_rwlock;
#define RIVAL_WRITER (-1)

static inline void rival_read_lock(rival_rwlock *lock)
{
    unsigned turns = 0;
    int readers = atomic_load_explicit(lock, memory_order_relaxed);
    while (readers == RIVAL_WRITER || !atomic_compare_exchange_weak_explicit(
                                          lock, &readers, readers + 1, memory_order_acquire, memory_order_relaxed)) {
        rival_wait(&turns);
        readers = atomic_load_explicit(lock, memory_order_relaxed);
    }
}

static inline void rival_read_unlock(rival_rwlock *lock)
{
    atomic_fetch_sub_explicit(lock, 1, memory_order_release);
}

static inline void rival_write_lock(rival_rwlock *lock)
{
    unsigned turns = 0;
    int free = 0;
    while (
        !atomic_compare_exchange_weak_explicit(lock, &free, RIVAL_WRITER, memory_order_acquire, memory_order_relaxed)) {
        rival_wait(&turns);
        free = 0;
    }
}

static inline void rival_write_unlock(rival_rwlock *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
