/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Calls that may make no system call: lookups, and the updates for NMI context. Between quiet_enter() and quiet_leave()
 * a thread that is watched makes none: the kernel sends it SIGSYS instead (user dispatch of system calls: Linux 5.11,
 * x86-64), and the handler counts that and refuses the call with ENOSYS. What allocates from the system is seen so as
 * well. malloc() from its free lists is not: foreign() in stress/step/trace.py sees that.
 *
 * A handler that interrupts a quiet call is quiet, too, unless it says otherwise by quiet_pause(). Its return is a
 * system call that is let through. The child of a fork is not watched before it asks for it.
 */
#ifndef QUIET_H
#define QUIET_H

#include <stdint.h>

/* In memory that outlives the process that is watched. */
struct quiet_found {
    uint64_t calls;   /* made where none may be */
    int64_t first;    /* number of the first one */
    uint64_t threads; /* that are or were watched */
};

/* One thread's, and no other's: the kernel reads it at each system call of the thread that is watched, also while
 * another thread is in a quiet call. There for as long as the thread: _Thread_local, or static if it is the only
 * one. */
struct quiet {
    volatile char selector;
    int watched;
    void *thread; /* its thread pointer, if it is watched */
};

/* Watches the calling thread from now on; `found` is one for the process. Returns whether this system can. */
int quiet_watch(struct quiet *quiet, struct quiet_found *found);

/* Returns what quiet_leave() is to be given: they nest. In another thread than the watched one it stops the process:
 * else that thread's next system call would be taken for one of this call. */
static inline char quiet_enter(struct quiet *quiet)
{
    char before = quiet->selector;
    if (quiet->watched && quiet->thread != __builtin_thread_pointer())
        __builtin_trap();
    quiet->selector =
        1; /* SYSCALL_DISPATCH_FILTER_BLOCK; volatile keeps it before the call, which the compiler cannot see */
    __asm__ volatile("" ::: "memory");
    return before;
}

static inline void quiet_leave(struct quiet *quiet, char before)
{
    __asm__ volatile("" ::: "memory");
    quiet->selector = before;
}

/* In a handler that makes system calls: until quiet_leave(). */
static inline char quiet_pause(struct quiet *quiet)
{
    char before = quiet->selector;
    quiet->selector = 0; /* SYSCALL_DISPATCH_FILTER_ALLOW */
    return before;
}

#endif
