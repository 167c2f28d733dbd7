/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "quiet.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Sanitizers make system calls of their own, wherever they like. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif
#define RESTORER_BYTES 16 /* of the function by which a handler returns: one move and the system call */

static struct quiet_found *found_here;

/* The kernel has not made the call, and left its number where the result goes. Not blocked while it runs: a handler
 * that comes in between may do the same. */
static void on_call(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal;
    if (__atomic_fetch_add(&found_here->calls, 1, __ATOMIC_RELAXED) == 0)
        found_here->first = info->si_syscall;
    registers[REG_RAX] = -ENOSYS;
}

/* As the kernel has it: libc tells nobody the address of the function by which handlers return. */
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
};

static void *restorer(void)
{
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct kernel_sigaction made;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, NULL) != 0 || syscall(SYS_rt_sigaction, SIGSYS, NULL, &made, sizeof made.mask) != 0)
        return NULL;
    return made.restorer;
}

int quiet_watch(struct quiet *quiet, struct quiet_found *found)
{
    found_here = found;
    void *returns = restorer();
    quiet->selector = 0;
    quiet->thread = __builtin_thread_pointer();
    quiet->watched = returns && prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, returns, RESTORER_BYTES,
                                      &quiet->selector) == 0;
    if (quiet->watched)
        __atomic_fetch_add(&found->threads, 1, __ATOMIC_RELAXED);
    return quiet->watched;
}

#else

int quiet_watch(struct quiet *quiet, struct quiet_found *found)
{
    (void)found;
    quiet->watched = 0;
    return 0;
}

#endif
