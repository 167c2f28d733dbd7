/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What vectors.c asks the BPF form, and its answers. */
#ifndef BID_VECTORS_H
#define BID_VECTORS_H

#include "bid/bpf.h"

#define VECTORS 4096

struct vector {
    uint64_t key;
    uint32_t generation, any, remove;
    int32_t status;
    struct bid_build_id id;
};

#endif
