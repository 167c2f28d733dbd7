/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The profiler's signals, and the program's own use of them.
 *
 * Once the program has another action for the signal, samples are lost to it, or end it. So where this library is
 * preloaded, its sigaction() and signal() come before libc's: for a signal that is taken they change and tell what the
 * program believes to be the action, and that is called for signals that are not the profiler's. A program that makes
 * the system call itself passes by them; Go programs do, which is why they are not profiled (agent.c).
 */
#define _GNU_SOURCE
#include "profile.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <ucontext.h>

#define EXPORTED __attribute__((visibility("default")))

typedef int (*sigaction_function)(int signal, const struct sigaction *action, struct sigaction *before);

/* What siginfo_t has of perf events, by offsets, since older headers lack it. */
#define TRAP_PERF_CODE 6
#define SIGINFO_PERF_DATA 24
#define SIGINFO_PERF_FLAGS 36
#define PERF_FLAG_LATE 1u /* the signal was blocked when the event happened */

struct taken {
    int taken;
    struct sigaction action; /* the program's own */
    bid_word call;           /* the same for a handler, in one word: the function * 2 + whether it is SA_SIGINFO */
};

static struct taken trap, prof;
static bid_profile_handler handler;

static struct taken *find(int signal)
{
    return signal == SIGTRAP ? &trap : signal == SIGPROF ? &prof : NULL;
}

static int real_sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    static _Atomic(sigaction_function) next; /* not the loader's lock at each call, nor in a handler */
    sigaction_function function = bid_load(&next, BID_RELAXED);
    if (!function) {
        *(void **)&function = dlsym(RTLD_NEXT, "sigaction");
        bid_store(&next, function, BID_RELAXED);
    }
    return function(signal, action, before);
}

/* --------------------------------------------------------------------------------------------- a signal -- */

static uint64_t instruction_pointer(const void *context)
{
    const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    return (uint64_t)machine->gregs[REG_RIP];
#elif defined(__aarch64__)
    return machine->pc;
#elif defined(__riscv)
    return machine->__gregs[REG_PC];
#elif defined(__powerpc64__)
    return machine->gp_regs[PT_NIP];
#elif defined(__s390x__)
    return machine->psw.addr;
#else
#error "where is the instruction pointer on this processor?"
#endif
}

static int is_ours(const siginfo_t *info)
{
    uint64_t data;
    if (info->si_signo == SIGPROF)
        return info->si_code == SI_TIMER && info->si_value.sival_ptr == BID_PROFILE_COOKIE;
    memcpy(&data, (const char *)info + SIGINFO_PERF_DATA, sizeof data);
    return info->si_code == TRAP_PERF_CODE && data == (uintptr_t)BID_PROFILE_COOKIE;
}

static int is_late(const siginfo_t *info)
{
    uint32_t flags;
    memcpy(&flags, (const char *)info + SIGINFO_PERF_FLAGS, sizeof flags);
    return info->si_signo == SIGTRAP && flags & PERF_FLAG_LATE;
}

static uint64_t ticks_missed(const siginfo_t *info)
{
    return info->si_signo == SIGPROF && info->si_overrun > 0 ? (uint64_t)info->si_overrun : 0;
}

/* A signal that others sent goes where it would have gone. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    uint64_t call = bid_load(&find(signal)->call, BID_RELAXED);
    uintptr_t function = (uintptr_t)(call >> 1);
    if (call & 1)
        ((void (*)(int, siginfo_t *, void *))function)(signal, info, context);
    else if (function == (uintptr_t)SIG_DFL) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        real_sigaction(signal, &action, NULL);
        raise(signal); /* blocked until the handler returns */
    } else if (function != (uintptr_t)SIG_IGN)
        ((void (*)(int))function)(signal);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    if (is_ours(info))
        handler(instruction_pointer(context), 1 + ticks_missed(info), is_late(info));
    else
        pass_on(signal, info, context);
}

/* ------------------------------------------------------------------------------------ taken and given back -- */

static void set_action(struct taken *signal, const struct sigaction *action)
{
    int extended = (action->sa_flags & SA_SIGINFO) != 0;
    uintptr_t function = extended ? (uintptr_t)action->sa_sigaction : (uintptr_t)action->sa_handler;
    signal->action = *action;
    bid_store(&signal->call, (uint64_t)function << 1 | (uint64_t)extended, BID_RELAXED);
}

int bid_profile_take(int signal, bid_profile_handler handle)
{
    struct sigaction found, action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    if (real_sigaction(signal, NULL, &found) != 0)
        return errno;
    if (!(found.sa_flags & SA_SIGINFO) || found.sa_sigaction != on_signal) /* ours may have been left: see below */
        set_action(find(signal), &found);
    handler = handle;
    if (real_sigaction(signal, &action, NULL) != 0)
        return errno;
    find(signal)->taken = 1;
    return 0;
}

/* A signal that is on its way still has to find a handler: ours stays where the program's would end the process. */
void bid_profile_give_back(int signal)
{
    struct taken *taken = find(signal);
    if (taken->action.sa_flags & SA_SIGINFO || taken->action.sa_handler != SIG_DFL) {
        real_sigaction(signal, &taken->action, NULL);
        taken->taken = 0;
    }
}

/* --------------------------------------------------------------------------------- what the program calls -- */

EXPORTED int sigaction(int signal, const struct sigaction *restrict action, struct sigaction *restrict before)
{
    struct taken *taken = find(signal);
    if (!taken || !taken->taken)
        return real_sigaction(signal, action, before);
    struct sigaction old = taken->action;
    if (action)
        set_action(taken, action);
    if (before)
        *before = old;
    return 0;
}

EXPORTED void (*signal(int signal, void (*function)(int)))(int)
{
    struct sigaction before, action = {.sa_handler = function, .sa_flags = SA_RESTART};
    if (function == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, signal);
    return sigaction(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}
