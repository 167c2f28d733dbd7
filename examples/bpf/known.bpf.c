/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Counts context switches to processes that the table knows, and to others. The table grows meanwhile. */
#include "lookup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
u64 known = 0, others = 0;

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, u64 preempt, struct task_struct *from, struct task_struct *to)
{
    struct bid_build_id value = {};
    int found = bid_bpf_lookup(to->tgid, &value) == BID_OK;
    __sync_fetch_and_add(found ? &known : &others, 1);
    return 0;
}
