/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A region: the memory of a BPF map, mapped, with a table in it. */
#ifndef BID_BPF_REGION_H
#define BID_BPF_REGION_H

#include "bid/bpf.h"

#include <pthread.h>

struct bid_bpf_region {
    int fd;
    void *memory;
    uint64_t bytes;
    struct bid_region *region;
    struct bid_allocator allocator;
    struct bid_table *table;
    pthread_t observer; /* of grace periods */
    int observing;
    int wake; /* an eventfd: the observer is to end */
};

#endif
