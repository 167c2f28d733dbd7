/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The I/O around the parser of csrc/note: functions that are not in the public header. */
#ifndef BID_SCAN_H
#define BID_SCAN_H

#include "bid/elf.h"

/* Parses the image in the memory of this process that begins at `base`, which is not 0. Where nothing is mapped the
 * image ends; nothing at `base` is an error.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
int bid_elf_read_memory(struct bid_elf *elf, uint64_t base);

/* The same of another process. memory: a descriptor of its /proc/PID/mem. */
int bid_elf_read_image(struct bid_elf *elf, int memory, uint64_t base);

#endif
