/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table for BPF programs: a hash table that grows and shrinks while programs read it. They may be of any type, and
 * run in NMI context, where the kernel's resizable map is not allowed; but they must not sleep (see the caveats).
 *
 *     the process:      bid_bpf_region_create(&region, 0);  table = bid_bpf_region_table(region);
 *                       bpf_map__reuse_fd(map "bid_region", bid_bpf_region_fd(region));    before the object is loaded
 *                       bid_upsert(table, key, generation, id, length);                    at any time
 *     the BPF program:  #include "lookup.bpf.h"
 *                       bid_bpf_lookup(key, &id)
 *
 * With a skeleton of bpftool the map is skel->maps.bid_region, between NAME__open() and NAME__load(). Several objects
 * may have the same region. A program that includes vmlinux.h includes it before lookup.bpf.h.
 *
 * The table lies in the memory of a BPF map, an array of cache lines, which the process has mapped. The process updates
 * the table by the functions of bid/table.h. A BPF program looks up and removes by the functions of lookup.bpf.h, which
 * are global: the verifier looks at each of them once, whatever calls it. examples/bpf is a whole program.
 *
 * Caveats
 * -------
 * - It is no part of the library libbid: the BPF side needs the headers of csrc/table. Compile csrc/bpf with
 *   csrc/table, csrc/process and csrc/region, as the example does.
 * - The kernel must be 6.1 or later, or one with the same features, and give this process CAP_BPF and CAP_PERFMON.
 * - Programs of every type may call the functions, and of every licence: they use no helper that is for the GPL alone.
 *   Most types of programs for tracing must be under the GPL for the kernel's own reasons.
 * - Sleepable programs may not call them (SEC("fentry.s"), "uprobe.s", "iter.s" and so on), though the kernel would
 *   load them: a grace period of RCU does not wait for these, so they could read memory that is used again.
 * - Of the 512 bytes of stack that the kernel gives to a program and all that it calls, they leave 240 to the caller.
 * - The region does not grow. All of it is present from the beginning: the kernel allocates array maps so. Count 500
 *   bytes for each entry: while the table grows, it and the next larger one have to fit. When the region is full,
 *   inserts fail with BID_E_NO_MEMORY, and all else goes on.
 * - Memory that a resize has left is used again after a grace period of RCU. A thread of the region waits for these, so
 *   no update does. If it does not get to run, updates that need a new array fail with BID_E_NO_MEMORY in the end.
 * - fork(): the child shares the memory, and must not update the table.
 */
#ifndef BID_PUBLIC_BPF_H
#define BID_PUBLIC_BPF_H

#include "region.h"

#include <stdint.h>

#define BID_BPF_LINE 64 /* bytes of an element of the map */

/* What the functions of lookup.bpf.h return beside enum bid_status. */
enum bid_bpf_status {
    BID_BPF_E_REGION = -64, /* the map is no region, or an address in it points out of it; or a pointer is NULL */
    BID_BPF_E_BUSY = -65,   /* remove: the entry is being moved or changed right now; bid_remove_generation() does it */
};

#ifdef __bpf__

/* number: of the table in the region, 0 or 1. generation: BID_BPF_ANY, or the only one that is asked for.
 * id: on the program's stack, or in a value of a map.
 * Context: any BPF program that is not sleepable. Progress: wait-free, at most BID_LOOKUP_MAX_SLOTS slots.
 * Memory: none.
 * Returns: BID_OK, BID_ABSENT (also if there is no such table), BID_STALE or BID_NO_BUILD_ID, as
 * bid_lookup_generation(); BID_BPF_E_REGION. */
int bid_bpf_lookup_in(uint32_t number, uint64_t key, uint64_t generation, struct bid_build_id *id);

/* The same in table 0, for any generation. */
int bid_bpf_lookup(uint64_t key, struct bid_build_id *id);

/* Removes an entry from table 0, if it is for this generation.
 * Context, progress and memory as above.
 * Returns: BID_OK, BID_ABSENT, BID_STALE, BID_BPF_E_BUSY (nothing was changed), BID_BPF_E_REGION. */
int bid_bpf_remove(uint64_t key, uint64_t generation);

#else

#ifdef __cplusplus
extern "C" {
#endif

struct bid_bpf_region;

#define BID_BPF_REGION_DEFAULT (32ull << 20)

/* Makes a region with an empty table in it. bytes: a multiple of 4,096, at least 1 MiB; 0: BID_BPF_REGION_DEFAULT.
 * Context: thread. Progress: blocking. Memory: allocates all of the region, and a thread. Sets errno.
 * Returns: BID_OK; BID_E_NULL, BID_E_OPTIONS, BID_E_NO_MEMORY, BID_E_UNSUPPORTED (errno says why the map cannot be
 * made), or as bid_create(); then *region is NULL. */
BID_PUBLIC int bid_bpf_region_create(struct bid_bpf_region **region, uint64_t bytes);

/* Gives everything back. Programs that use the map keep it, but nobody updates it any more; NULL is allowed.
 * Context: thread. Progress: blocking. Memory: frees. May change errno. */
BID_PUBLIC void bid_bpf_region_destroy(struct bid_bpf_region *region);

/* Gives the descriptor of the map, which the region owns.
 * Context: any. Progress: wait-free. Memory: none. Returns: the descriptor. */
BID_PUBLIC int bid_bpf_region_fd(const struct bid_bpf_region *region);

/* Waits for a grace period of RCU, and frees what has waited for it. After BID_E_NO_MEMORY or BID_E_RETIRED of an
 * update the same update may succeed then: the thread of the region does the same, but not at once.
 * Context: thread. Progress: blocking, for milliseconds at least. Memory: frees. May change errno. */
BID_PUBLIC void bid_bpf_region_synchronize(struct bid_bpf_region *region);

/* Gives the table of the region, its number 0. Do not destroy it.
 * Context: any. Progress: wait-free. Memory: none. Returns: the table. */
BID_PUBLIC struct bid_table *bid_bpf_region_table(const struct bid_bpf_region *region);

#ifdef __cplusplus
}
#endif
#endif
#endif
