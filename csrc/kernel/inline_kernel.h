/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The part of platform.h that is inline, for a kernel. */
#ifndef BID_INLINE_KERNEL_H
#define BID_INLINE_KERNEL_H

#include <linux/compiler.h>
#include <linux/prefetch.h>
#include <linux/string.h>

static inline void bid_platform_compiler_barrier(void)
{
    barrier();
}

static inline void bid_platform_prefetch(const void *address)
{
    prefetch(address);
}

#endif
