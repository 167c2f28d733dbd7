/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What removes.bpf.c and removes.c share. */
#ifndef BID_REMOVES_TEST_H
#define BID_REMOVES_TEST_H

#include <stdint.h>

#define KEYS 2000
#define REMOVES 20000 /* of one run of the program */

static inline uint64_t key_of(uint64_t i)
{
    return 0xffff888000000000ull + i * 0x5b8;
}

#endif
