/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What reclaim.bpf.c counts for reclaim.c. */
#ifndef BID_RECLAIM_TEST_H
#define BID_RECLAIM_TEST_H

#include <stdint.h>

#define STABLE 500 /* keys that are always there */

struct seen {
    uint64_t runs, moved, right, wrong;
};

static inline uint64_t key_of(uint64_t i)
{
    return 0xffff888000000000ull + i * 0x5b8;
}

#endif
