/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf(2), which libc does not have. */
#ifndef BID_BPF_SYSCALL_H
#define BID_BPF_SYSCALL_H

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel refuses a call if bytes that it does not use are not zero. */
static inline union bpf_attr bid_attribute(void)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    return attribute;
}

/* Returns: a descriptor or 0; -1 with errno. */
static inline int bid_bpf(int command, union bpf_attr *attribute)
{
    return (int)syscall(SYS_bpf, command, attribute, sizeof *attribute);
}

#endif
