/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Looks up the inode that bid_probe() is called with, in an NMI. -DPERF_EVENT: the same as a program of a perf
 * event. */
#include "probe.h"

#define SECTION(name) __attribute__((section(name), used))

struct inode {
    unsigned long i_ino;
} __attribute__((preserve_access_index));

struct bid_build_id {
    unsigned generation;
    unsigned char length, reserved[3], bytes[64];
};

extern int bpf_bid_lookup(struct inode *inode, struct bid_build_id *id) SECTION(".ksyms");

struct seen seen;

static int look(struct inode *inode)
{
    struct bid_build_id id = {};
    int status = bpf_bid_lookup(inode, &id);
    seen.calls++;
    if (status == 0) {
        seen.found++;
        __builtin_memcpy(seen.last, id.bytes, 20);
    } else if (status == 1) {
        seen.absent++;
    } else {
        seen.other++;
    }
    return 0;
}

#ifdef PERF_EVENT
SECTION("perf_event")
int probe(void *context)
{
    return look((struct inode *)0);
}
#else
SECTION("fentry/bid_probe")
int probe(unsigned long long *context)
{
    return look((struct inode *)context[0]);
}
#endif

char program_license[] SECTION("license") = "GPL";
