/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A slow reader: it reads the head, waits, and looks in that array, which must still be there. */
#include "reclaim.h"
#include "lookup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SLOW_NS 2000000ull

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct seen);
} seen SEC(".maps");

static long wait(u32 i, void *until)
{
    return bpf_ktime_get_ns() > *(u64 *)until;
}

SEC("raw_tp")
int read_slowly(void *context)
{
    u32 zero = 0;
    struct bid_bpf_found found = {};
    struct bid_bpf_array array = {};
    struct seen *counts = bpf_map_lookup_elem(&seen, &zero);
    char *table = bid_line(bid_table_at(0));
    u64 key = key_of(bpf_get_prandom_u32() % STABLE), until = bpf_ktime_get_ns() + SLOW_NS;
    if (!counts || !table)
        return 0;
    u64 head = BID_LOAD64(table, BID_OF_TABLE(head));
    if (bid_bpf_array(bid_table_at(0), head, &array) < 0)
        return 0;
    bpf_loop(1 << 22, wait, &until, 0);
    __sync_fetch_and_add(&counts->moved,
                         bid_head_number(BID_LOAD64(table, BID_OF_TABLE(head))) != bid_head_number(head));
    int status = bid_bpf_probe(&array, key, &found);
    char *record = bid_line(found.record);
    int right = status == BID_OK && found.record && record;
    if (right)
        right = BID_LOAD32(record, (found.record & BID_RECORD_BYTES) + BID_RECORD_ID) == (u32)key;
    __sync_fetch_and_add(right ? &counts->right : &counts->wrong, 1);
    __sync_fetch_and_add(&counts->runs, 1);
    return 0;
}
