/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A build-ID table that may be read from NMI context. This header includes all the others:
 *
 *     bid/version.h    the version of this interface
 *     bid/build_id.h   a build ID
 *     bid/status.h     what functions return
 *     bid/table.h      the table: from a 64-bit key to a build ID; lookups in any context, lock-free updates
 *     bid/inode.h      the table keyed by inodes, with a flag bit that answers misses
 *     bid/region.h     tables in memory that other processes or BPF programs read
 *     bid/elf.h        build IDs of ELF files
 *     bid/resolve.h    from an address of this process to (build ID, file offset), in any context
 *     bid/process.h    what a process has mapped, with build IDs
 *
 * Every function states where it may be called and what it does there, in these words.
 * - Context: any. Also in signal handlers, nested ones and those on an alternate stack, and in a child after fork(); in
 *   a kernel build also in interrupt and NMI context.
 * - Context: thread. Not in a signal handler, for memory may be allocated.
 * - Progress: wait-free. It takes a constant number of the caller's own steps.
 * - Progress: lock-free. Some thread's operation finishes, whatever the other threads do, also if they stop for good.
 * - Progress: blocking. It may wait for the system.
 * - Memory: what it allocates and frees.
 * - Returns: what it returns. A function that returns int returns one of enum bid_status unless it says otherwise.
 *
 * No function changes errno unless its Memory says "May change errno". Lengths and sizes are in bytes. Integers have
 * the byte order of the processor. The system must be one of 64 bits.
 */
#ifndef BID_H
#define BID_H

#include "bid/version.h"

#include "bid/build_id.h"
#include "bid/status.h"

#include "bid/table.h"

#include "bid/elf.h"
#include "bid/inode.h"
#include "bid/process.h"
#include "bid/region.h"
#include "bid/resolve.h"

#endif
