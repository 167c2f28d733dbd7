/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Counts its runs. The kernel runs no program of a perf event on a CPU that is inside bpf(BPF_MAP_UPDATE_ELEM). */
#include "lookup.bpf.h"

#include "updates.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, UPDATES_KEYS);
    __type(key, u64);
    __type(value, struct bid_build_id);
} map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct updates);
} updates SEC(".maps");

SEC("perf_event")
int on_sample(void *context)
{
    u32 zero = 0;
    struct bid_build_id id = {};
    struct updates *all = bpf_map_lookup_elem(&updates, &zero);
    if (!all)
        return 0;
    u64 key = updates_key(all->runs % UPDATES_KEYS);
    all->hits += bid_bpf_lookup(key, &id) == BID_OK;
    all->runs++;
    return 0;
}
