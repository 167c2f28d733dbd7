/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Functions of libc that this library replaces where it is preloaded: all that could meet the profiler's signal.
 *
 * - actions: if the program set another action for the signal, samples would be lost, or would end the program;
 * - alternate stacks: one that is too small for a sample;
 * - waiting for signals: where a thread has SIGTRAP blocked, a perf event leaves one pending, which is not to be seen;
 * - things that samples would spoil: a descriptor of signalfd(), a tracer, a filter of system calls. There sampling
 *   ends.
 *
 * A program that makes the system calls itself does not use these functions. Go programs do that, so they are not
 * profiled.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SIG_HOLD
#define SIG_HOLD ((void (*)(int))2)
#endif

/* The run time of AddressSanitizer, which asks here, ends a program in which another library comes before it. */
EXPORTED const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0";
}

/* --------------------------------------------------------------------------------------------- actions -- */

EXPORTED int sigaction(int signal, const struct sigaction *restrict action, struct sigaction *restrict before)
{
    return bid_signals_action(signal, action, before);
}

typedef void (*signal_handler)(int);

static signal_handler set_handler(int signal, signal_handler function, int flags)
{
    struct sigaction before, action = {.sa_handler = function, .sa_flags = flags};
    if (function == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigemptyset(&action.sa_mask);
    if (!(flags & SA_NODEFER))
        sigaddset(&action.sa_mask, signal);
    return bid_signals_action(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

EXPORTED signal_handler signal(int signal, signal_handler function)
{
    return set_handler(signal, function, SA_RESTART);
}

EXPORTED signal_handler bsd_signal(int signal, signal_handler function)
{
    return set_handler(signal, function, SA_RESTART);
}

EXPORTED signal_handler ssignal(int signal, signal_handler function)
{
    return set_handler(signal, function, SA_RESTART);
}

/* System V's: once, and not blocked meanwhile. What signal() is with _XOPEN_SOURCE alone. */
EXPORTED signal_handler sysv_signal(int signal, signal_handler function)
{
    return set_handler(signal, function, (int)SA_RESETHAND | SA_NODEFER);
}

EXPORTED signal_handler __sysv_signal(int signal, signal_handler function)
{
    return set_handler(signal, function, (int)SA_RESETHAND | SA_NODEFER);
}

EXPORTED int siginterrupt(int signal, int flag)
{
    struct sigaction action;
    if (bid_signals_action(signal, NULL, &action) != 0)
        return -1;
    action.sa_flags = flag ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return bid_signals_action(signal, &action, NULL);
}

EXPORTED int sigignore(int signal)
{
    return set_handler(signal, SIG_IGN, 0) == SIG_ERR ? -1 : 0;
}

/* System V's as well: blocks the signal, or sets its action and unblocks it. */
EXPORTED signal_handler sigset(int signal, signal_handler function)
{
    struct sigaction before, action = {.sa_handler = function};
    sigset_t set, blocked;
    sigemptyset(&set);
    sigemptyset(&action.sa_mask);
    if (sigaddset(&set, signal) != 0)
        return SIG_ERR;
    if (bid_signals_action(signal, function == SIG_HOLD ? NULL : &action, &before) != 0)
        return SIG_ERR;
    if (sigprocmask(function == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &blocked) != 0)
        return SIG_ERR;
    return sigismember(&blocked, signal) ? SIG_HOLD : before.sa_handler;
}

/* ------------------------------------------------------------------------------------- alternate stacks -- */

EXPORTED int sigaltstack(const stack_t *restrict stack, stack_t *restrict before)
{
    static _Atomic(void *) known;
    int (*function)(const stack_t *, stack_t *);
    *(void **)&function = bid_next(&known, "sigaltstack");
    if (stack && !(stack->ss_flags & SS_DISABLE))
        bid_signals_stack(stack->ss_size); /* first: a sample may come as soon as the stack is there */
    return function(stack, before);
}

/* ------------------------------------------------------------------------------------ waiting for signals -- */

typedef int (*wait_function)(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);

static wait_function real_wait(void)
{
    static _Atomic(void *) known;
    wait_function function;
    *(void **)&function = bid_next(&known, "sigtimedwait");
    return function;
}

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

/* sigtimedwait() that goes on after a signal of the profiler's. */
static int wait_for(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    struct timespec now, rest = timeout ? *timeout : (struct timespec){0};
    siginfo_t own;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t end = nanoseconds(&now) + nanoseconds(&rest);
    for (;;) {
        int signal = real_wait()(set, &own, timeout ? &rest : NULL);
        if (signal < 0 || !bid_signals_is_ours(&own)) {
            if (signal >= 0 && info)
                *info = own;
            return signal;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t left = nanoseconds(&now) < end ? end - nanoseconds(&now) : 0;
        rest = (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
    }
}

EXPORTED int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
                          const struct timespec *restrict timeout)
{
    return wait_for(set, info, timeout);
}

EXPORTED int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
    return wait_for(set, info, NULL);
}

EXPORTED int sigwait(const sigset_t *restrict set, int *restrict signal)
{
    int before = errno, got;
    while ((got = wait_for(set, NULL, NULL)) < 0 && errno == EINTR)
        ;
    int error = got < 0 ? errno : 0;
    errno = before;
    if (!error)
        *signal = got;
    return error;
}

/* Takes away the signals that the profiler has left pending for this thread. Signals of others are put back as they
 * were. */
static void drain(int signal)
{
    static const struct timespec now = {0};
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    if (real_wait()(&set, &info, &now) == signal && !bid_signals_is_ours(&info))
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signal, &info);
}

EXPORTED int sigpending(sigset_t *set)
{
    static _Atomic(void *) known;
    int (*function)(sigset_t *), before = errno;
    *(void **)&function = bid_next(&known, "sigpending");
    if (bid_signals_taken())
        drain(bid_signals_taken());
    errno = before;
    return function(set);
}

/* While the profiler's signal is pending for this thread, which has it blocked, another of
 * that number would be lost. */
EXPORTED int raise(int signal)
{
    static _Atomic(void *) known;
    int (*function)(int), before = errno;
    *(void **)&function = bid_next(&known, "raise");
    if (signal && signal == bid_signals_taken())
        drain(signal);
    errno = before;
    return function(signal);
}

/* ---------------------------------------------------------------------------------- what samples would spoil -- */

static void leave(enum bid_refusal why)
{
    int before = errno;
    bid_agent_leave(why);
    if (bid_signals_taken())
        drain(bid_signals_taken());
    errno = before;
}

/* A descriptor cannot tell the profiler's signals from others. */
EXPORTED int signalfd(int fd, const sigset_t *mask, int flags)
{
    static _Atomic(void *) known;
    int (*function)(int, const sigset_t *, int);
    *(void **)&function = bid_next(&known, "signalfd");
    if (bid_signals_taken() && sigismember(mask, bid_signals_taken()) == 1)
        leave(BID_REFUSED_SIGNALFD);
    return function(fd, mask, flags);
}

/* Each sample would stop the process for its tracer. */
EXPORTED long ptrace(int request, ...)
{
    static _Atomic(void *) known;
    long (*function)(int, ...);
    va_list arguments;
    va_start(arguments, request);
    pid_t process = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *), *data = va_arg(arguments, void *);
    va_end(arguments);
    *(void **)&function = bid_next(&known, "ptrace");
    if (request == PTRACE_TRACEME)
        leave(BID_REFUSED_TRACED);
    return function(request, process, address, data);
}

/* A filter may end the process when the handler returns. The strict mode allows that, by its definition. */
EXPORTED int prctl(int option, ...)
{
    static _Atomic(void *) known;
    int (*function)(int, ...);
    unsigned long values[4];
    va_list arguments;
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        values[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    *(void **)&function = bid_next(&known, "prctl");
    if (option == PR_SET_SECCOMP && values[0] == SECCOMP_MODE_FILTER)
        leave(BID_REFUSED_SANDBOX);
    return function(option, values[0], values[1], values[2], values[3]);
}
