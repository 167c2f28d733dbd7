/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whether an open file is the one behind a mapping. Devices are those of /proc/PID/maps: major << 32 | minor. */
#ifndef BID_SAME_H
#define BID_SAME_H

#include "../note/descriptor.h"

#include <stdint.h>

/* By device and inode number, as maps shows them. */
int bid_is_mapped_file(const struct bid_descriptor *file, uint64_t device, uint64_t inode);

/* Whether another file may look like the mapped one. On btrfs a file and its copy in a snapshot show the same device
 * and number. On overlayfs a path leads to the copy of a file that was written to, while the original stays mapped. */
int bid_is_ambiguous(const struct bid_descriptor *file, uint64_t device);

/* The generation of an open file's inode. Returns whether the file system tells it; if not, it is 0. */
int bid_generation_of(int fd, uint32_t *generation);

#endif
