/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Removes keys, one after the other, for removes.c. */
#include "removes.h"
#include "lookup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static long one(u32 i, void *context)
{
    bid_bpf_remove(key_of(bpf_get_prandom_u32() % KEYS), BID_BPF_ANY);
    return 0;
}

SEC("raw_tp")
int remove_some(void *context)
{
    bpf_loop(REMOVES, one, NULL, 0);
    return 0;
}
