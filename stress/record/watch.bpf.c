/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where a thread's run time is in the kernel's memory: the scheduler writes it all the time, so a hardware breakpoint
 * there interrupts kernel code, in what the kernel treats as NMI context. */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_entity {
    u64 sum_exec_runtime;
};
struct task_struct___scheduled {
    struct sched_entity se;
};
#pragma clang attribute pop

SEC("iter/task")
int watch(struct bpf_iter__task *context)
{
    struct task_struct *task = context->task;
    if (!task)
        return 0;
    u64 found[2] = {task->pid, (u64)task};
    found[1] += bpf_core_field_offset(struct task_struct___scheduled, se);
    found[1] += bpf_core_field_offset(struct sched_entity, sum_exec_runtime);
    bpf_seq_write(context->meta->seq, found, sizeof found);
    return 0;
}
