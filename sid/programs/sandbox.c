/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs in a sandbox of seccomp, which ends them at a system call that they did not mean to make. */
#define _GNU_SOURCE
#include "program.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000u
#endif

static void finish(void)
{
    static const char text[] = "still there\n";
    burn_without_calls();
    if (syscall(SYS_write, 1, text, sizeof text - 1) < 0)
        __builtin_trap();
}

static int part_strict(char **arguments)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        return 77;
    finish();
    syscall(SYS_exit, 0);
    return 1;
}

static int filtered(int with_sigreturn)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, with_sigreturn ? SYS_rt_sigreturn : SYS_write, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    burn(20);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    finish();
    syscall(SYS_exit_group, 0);
    return 1;
}

static int part_filter(char **arguments)
{
    return filtered(1);
}

/* A filter that does not even let a signal handler return, since the program has none. */
static int part_no_handlers(char **arguments)
{
    return filtered(0);
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {
        {"strict", part_strict}, {"filter", part_filter}, {"no-handlers", part_no_handlers}, {0}};
    return run_part(parts, arguments);
}
