/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups in a loop: in the table, and in the kernel's hash map with the same keys and values of the same size. */
#include "lookup.bpf.h"

#include "loops.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, LOOPS_MOST);
    __type(key, u64);
    __type(value, struct bid_build_id);
} map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct loops);
} loops SEC(".maps");

/* In an order that no cache foresees. */
static __always_inline u64 key_at(u32 i, u64 keys)
{
    return loops_key((u32)(i * 0x9e3779b1u) % keys);
}

static long look_in_table(u32 i, void *context)
{
    struct loops *all = *(struct loops **)context;
    struct bid_build_id id = {};
    all->hits += bid_bpf_lookup(key_at(i, all->keys), &id) == BID_OK;
    return 0;
}

static long look_in_map(u32 i, void *context)
{
    struct loops *all = *(struct loops **)context;
    u64 key = key_at(i, all->keys);
    struct bid_build_id id, *found = bpf_map_lookup_elem(&map, &key);
    if (!found)
        return 0;
    id = *found;
    asm volatile("" ::"r"(&id) : "memory");
    all->hits++;
    return 0;
}

SEC("raw_tp")
int loop(void *context)
{
    u32 zero = 0;
    struct loops *all = bpf_map_lookup_elem(&loops, &zero);
    if (!all || !all->keys)
        return 0;
    all->hits = 0;
    u64 begin = bpf_ktime_get_ns();
    if (all->in_map)
        bpf_loop(LOOPS_TURNS, look_in_map, &all, 0);
    else
        bpf_loop(LOOPS_TURNS, look_in_table, &all, 0);
    all->ns = bpf_ktime_get_ns() - begin;
    return 0;
}
