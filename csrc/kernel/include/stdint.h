/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* C's integer types for a kernel build, which has no headers of C's. */
#ifndef BID_KERNEL_STDINT_H
#define BID_KERNEL_STDINT_H

#include <linux/limits.h>
#include <linux/types.h>

#ifndef INT64_MAX
#define INT64_MAX S64_MAX
#endif
#ifndef UINT64_MAX
#define UINT64_MAX U64_MAX
#endif
#ifndef UINT32_MAX
#define UINT32_MAX U32_MAX
#endif

#endif
