/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The profiler's signals, and the program's own use of them.
 *
 * For a signal that is taken, the kernel has the profiler's handler, and the program's action is kept here: it is what
 * the program is told, and what is called, with the mask and flags that it asked for, for signals that others send.
 * Only an ignored signal is truly ignored, and takes no samples: the programs that the process starts inherit that, and
 * nothing else of an action.
 *
 * The handler runs on the alternate stack if the thread has one (SA_ONSTACK), since programs that run code on small
 * stacks of their own, as coroutines, give their threads one for this. But an alternate stack that is smaller than the
 * kernel's frame and the handler ends the program: then the handler stays on the stack that was interrupted. And as
 * most have no room for a second frame, the program's own handlers that run there have the profiler's signal blocked.
 * All signals are blocked while the handler runs, so that nothing leaves it by siglongjmp() or cancellation.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define KERNEL_SET 8        /* bytes of the kernel's sigset_t */
#define HANDLER_STACK 1024  /* bytes that the handler needs beside the kernel's frame; tests/test_resolve_object.py */
#define RESTORER 0x04000000 /* SA_RESTORER of the kernel */
#define FRAME 51            /* AT_MINSIGSTKSZ: what the kernel's frame needs, from Linux 5.14 on */

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
static bid_agent_handler handler;
static _Atomic(int) small_stack;

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

/* Only the instruction pointer where a frame does not begin with the caller's frame pointer and the return address. */
static struct bid_interrupted interrupted(const void *context)
{
    const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
    struct bid_interrupted at = {0};
#if defined(__x86_64__)
    at.ip = (uint64_t)machine->gregs[REG_RIP];
    at.sp = (uint64_t)machine->gregs[REG_RSP];
    at.fp = (uint64_t)machine->gregs[REG_RBP];
    __asm__("mov %%fs:0, %0" : "=r"(at.thread)); /* its own address is there */
#elif defined(__aarch64__)
    at.ip = machine->pc;
    at.sp = machine->sp;
    at.fp = machine->regs[29];
    __asm__("mrs %0, tpidr_el0" : "=r"(at.thread));
#elif defined(__riscv)
    at.ip = machine->__gregs[REG_PC];
#elif defined(__powerpc64__)
    at.ip = machine->gp_regs[PT_NIP];
#elif defined(__s390x__)
    at.ip = machine->psw.addr;
#else
#error "where is the instruction pointer on this processor?"
#endif
    return at;
}

int bid_signals_is_ours(const siginfo_t *info)
{
    uint64_t data;
    if (info->si_signo == SIGPROF)
        return info->si_code == SI_TIMER && info->si_value.sival_ptr == BID_PROFILE_COOKIE;
    memcpy(&data, (const char *)info + SIGINFO_PERF_DATA, sizeof data);
    return info->si_signo == SIGTRAP && info->si_code == TRAP_PERF_CODE && data == (uintptr_t)BID_PROFILE_COOKIE;
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

static void set_action(struct taken *signal, const struct sigaction *action)
{
    int extended = (action->sa_flags & SA_SIGINFO) != 0;
    uintptr_t function = extended ? (uintptr_t)action->sa_sigaction : (uintptr_t)action->sa_handler;
    signal->action = *action;
    bid_store(&signal->call, (uint64_t)function << 1 | (uint64_t)extended, BID_RELAXED);
}

/* The mask that the program's handler would have: the kernel gives the old one back when the signal returns. */
static void as_asked_for(int signal, const struct sigaction *action, const void *context)
{
    sigset_t mask = ((const ucontext_t *)context)->uc_sigmask;
    for (int i = 1; i < 8 * KERNEL_SET; i++)
        if (sigismember(&action->sa_mask, i) == 1)
            sigaddset(&mask, i);
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&mask, signal);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SET);
}

/* A signal that others sent goes where it would have gone. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    static const struct sigaction defaults = {.sa_handler = SIG_DFL};
    struct sigaction reset;
    struct taken *taken = find(signal);
    struct sigaction action = taken->action;
    uint64_t call = bid_load(&taken->call, BID_RELAXED);
    uintptr_t function = (uintptr_t)(call >> 1);
    if (function == (uintptr_t)SIG_IGN)
        return;
    if (function == (uintptr_t)SIG_DFL) {
        real_sigaction(signal, &defaults, NULL);
        raise(signal); /* blocked until the handler returns */
        return;
    }
    if (action.sa_flags & (int)SA_RESETHAND) { /* the flags stay, as in the kernel */
        reset = action;
        reset.sa_handler = SIG_DFL;
        set_action(taken, &reset);
    }
    as_asked_for(signal, &action, context);
    if (call & 1)
        ((void (*)(int, siginfo_t *, void *))function)(signal, info, context);
    else
        ((void (*)(int))function)(signal);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    if (bid_signals_is_ours(info)) {
        struct bid_interrupted at = interrupted(context);
        handler(&at, 1 + ticks_missed(info), is_late(info));
    } else {
        pass_on(signal, info, context);
    }
}

/* ------------------------------------------------------------------------------------ taken and given back -- */

/* SIG_DFL and SIG_IGN are that with SA_SIGINFO as well. */
static int is_handler(const struct sigaction *action, void (*function)(int))
{
    return action->sa_handler == function;
}

/* System calls go on after a signal as the program asked for, and as they would if it had no handler. */
static int install(int signal)
{
    const struct sigaction *own = &find(signal)->action;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    if (own->sa_flags & SA_RESTART || is_handler(own, SIG_DFL))
        action.sa_flags |= SA_RESTART;
    if (!bid_load(&small_stack, BID_RELAXED))
        action.sa_flags |= SA_ONSTACK;
    memset(&action.sa_mask, 0xff, sizeof action.sa_mask); /* with those that libc keeps to itself */
    return real_sigaction(signal, &action, NULL) == 0 ? 0 : errno;
}

int bid_signals_take(int signal, bid_agent_handler handle)
{
    struct taken *taken = find(signal);
    struct sigaction found;
    if (real_sigaction(signal, NULL, &found) != 0)
        return errno;
    if (is_handler(&found, SIG_IGN))
        return EALREADY;
    if (!(found.sa_flags & SA_SIGINFO) || found.sa_sigaction != on_signal) /* ours may have been left: see below */
        set_action(taken, &found);
    handler = handle;
    int error = install(signal);
    taken->taken = !error;
    return error;
}

void bid_signals_give_back(int signal, int pending)
{
    struct taken *taken = find(signal);
    if (pending && is_handler(&taken->action, SIG_DFL))
        return;
    real_sigaction(signal, &taken->action, NULL);
    taken->taken = 0;
}

/* --------------------------------------------------------------------------------- what the program calls -- */

/* Another signal than the profiler's: the program is told the mask that it gave. */
static int other_action(int signal, const struct sigaction *action, struct sigaction *before)
{
    static bid_word widened; /* signals of which the kernel has a wider mask */
    uint64_t bit = signal > 0 && signal <= 64 ? 1ull << (signal - 1) : 0, was = bid_load(&widened, BID_RELAXED) & bit;
    int ours = bid_signals_taken(), result;
    struct sigaction wider;
    if (!action || !ours || !(action->sa_flags & SA_ONSTACK) || is_handler(action, SIG_DFL) ||
        is_handler(action, SIG_IGN) || sigismember(&action->sa_mask, ours)) {
        result = real_sigaction(signal, action, before);
        if (result == 0 && action)
            atomic_fetch_and_explicit(&widened, ~bit, BID_RELAXED);
    } else {
        wider = *action;
        sigaddset(&wider.sa_mask, ours);
        bid_or(&widened, bit, BID_RELAXED);
        result = real_sigaction(signal, &wider, before);
    }
    if (result == 0 && before && was)
        sigdelset(&before->sa_mask, ours);
    return result;
}

/* What the kernel would tell of the action: libc adds a flag and the return from the handler, the kernel takes out
 * of the mask what cannot be blocked. */
static void as_told(int signal, const struct sigaction *asked)
{
    struct sigaction real, told = *asked;
    if (real_sigaction(signal, NULL, &real) != 0)
        return;
    told.sa_flags |= real.sa_flags & RESTORER;
    told.sa_restorer = real.sa_restorer;
    sigdelset(&told.sa_mask, SIGKILL);
    sigdelset(&told.sa_mask, SIGSTOP);
    set_action(find(signal), &told);
}

int bid_signals_action(int signal, const struct sigaction *action, struct sigaction *before)
{
    struct taken *taken = find(signal);
    if (!taken || !taken->taken)
        return other_action(signal, action, before);
    struct sigaction old = taken->action;
    int error = 0;
    if (action) {
        int ignores = is_handler(action, SIG_IGN);
        if (ignores && !is_handler(&old, SIG_IGN))
            bid_agent_ignored();
        set_action(taken, action);
        error = !ignores ? install(signal) : real_sigaction(signal, action, NULL) == 0 ? 0 : errno;
        as_told(signal, action);
    }
    if (before)
        *before = old;
    errno = error ? error : errno;
    return error ? -1 : 0;
}

void bid_signals_stack(size_t bytes)
{
    unsigned long frame = getauxval(FRAME);
    if (bytes >= (frame ? frame : 4096) + HANDLER_STACK || bid_load(&small_stack, BID_RELAXED))
        return;
    bid_store(&small_stack, 1, BID_RELAXED);
    if (trap.taken && !is_handler(&trap.action, SIG_IGN))
        install(SIGTRAP);
    if (prof.taken && !is_handler(&prof.action, SIG_IGN))
        install(SIGPROF);
}

int bid_signals_taken(void)
{
    return trap.taken ? SIGTRAP : prof.taken ? SIGPROF : 0;
}
