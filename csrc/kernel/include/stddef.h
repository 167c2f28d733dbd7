/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* C's size_t, NULL and offsetof for a kernel build, which has no headers of C's. */
#ifndef BID_KERNEL_STDDEF_H
#define BID_KERNEL_STDDEF_H

#include <linux/stddef.h>
#include <linux/types.h>

#endif
