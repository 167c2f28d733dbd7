/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Assertions of the update side, for debug builds (-DBID_DEBUG): whatever is wrong stops the process where it happens.
 * */
#ifndef BID_DEBUG_H
#define BID_DEBUG_H

#ifdef BID_DEBUG
#define BID_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define BID_ASSERT(condition) ((void)sizeof(condition))
#endif

#endif
