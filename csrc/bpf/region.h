/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A region: the memory of a BPF map, mapped, with a table in it. */
#ifndef BID_BPF_REGION_H
#define BID_BPF_REGION_H

#include "bid/bpf.h"

#include <pthread.h>
#include <stddef.h>

struct bid_bpf_region {
    int fd;
    char *base;
    uint64_t bytes;
    struct bid_table *table;
    pthread_mutex_t lock;
    unsigned char *used; /* a byte for each page */
};

/* A grace period of RCU: on return no BPF program is running that ran when this was called. */
void bid_bpf_synchronize(void);

#endif
