/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Answers of the BPF form for keys that the process gives, for vectors.c. */
#include "vectors.h"
#include "lookup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, VECTORS);
    __type(key, u32);
    __type(value, struct vector);
} vectors SEC(".maps");

static long one(u32 i, void *context)
{
    struct vector *vector = bpf_map_lookup_elem(&vectors, &i);
    if (!vector)
        return 1;
    struct bid_build_id id = {};
    u64 generation = vector->any ? BID_BPF_ANY : vector->generation;
    if (vector->remove)
        vector->status = bid_bpf_remove(vector->key, generation);
    else if (vector->any)
        vector->status = bid_bpf_lookup(vector->key, &id);
    else
        vector->status = bid_bpf_lookup_in(0, vector->key, generation, &id);
    vector->id = id;
    return 0;
}

SEC("raw_tp")
int answer(void *context)
{
    bpf_loop(VECTORS, one, NULL, 0);
    return 0;
}
