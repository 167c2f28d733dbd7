/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What updates.bpf.c and updates.c tell each other. */
#ifndef BID_UPDATES_H
#define BID_UPDATES_H

#include <stdint.h>

#define UPDATES_KEYS 10000

struct updates {
    uint64_t runs, hits; /* of the program; lookups that found their key */
};

static inline uint64_t updates_key(uint64_t i)
{
    return 0xffff888000000000ull + i * 0x5b8;
}

#endif
