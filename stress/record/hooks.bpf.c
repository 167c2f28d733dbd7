/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A program at the recorder's tracepoint that does nothing: what its hook takes at least. */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/ma_write")
int nothing(u64 *context)
{
    return 0;
}
