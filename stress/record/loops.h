/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What loops.bpf.c and loops.c tell each other. */
#ifndef BID_LOOPS_H
#define BID_LOOPS_H

#include <stdint.h>

#define LOOPS_MOST 1000000
#define LOOPS_TURNS 200000

struct loops {
    uint64_t keys, in_map; /* asked */
    uint64_t hits, ns;     /* answered */
};

static inline uint64_t loops_key(uint64_t i)
{
    return 0xffff888000000000ull + i * 0x5b8;
}

#endif
