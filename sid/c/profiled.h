/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tests of csrc/profile share: a sample's signal without a perf event, and children that must end well. */
#ifndef PROFILED_H
#define PROFILED_H

#include "check.h"

#include "../../csrc/profile/agent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PERF_CODE 6

/* SIGTRAP as a perf event sends it, to this thread. */
static inline void send_sample(uint64_t cookie, uint32_t flags)
{
    union {
        siginfo_t info;
        char bytes[sizeof(siginfo_t)];
    } sent;
    memset(&sent, 0, sizeof sent);
    sent.info.si_signo = SIGTRAP;
    sent.info.si_code = PERF_CODE;
    memcpy(sent.bytes + 24, &cookie, sizeof cookie);
    memcpy(sent.bytes + 36, &flags, sizeof flags);
    CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGTRAP, &sent) == 0);
}

static inline void send_ours(uint32_t flags)
{
    send_sample((uintptr_t)BID_PROFILE_COOKIE, flags);
}

/* What the kernel has as the action of a signal: handler, flags, restorer, mask. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

static inline struct kernel_action kernel_action(int signal)
{
    struct kernel_action action = {0};
    CHECK(syscall(SYS_rt_sigaction, signal, NULL, &action, 8) == 0);
    return action;
}

/* The status of a child that calls `function`, as waitpid() has it; it dies with its parent, and after 30 seconds. */
static inline int in_child(void (*function)(void))
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(30);
        function();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

#endif
