/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the BPF iterators tell the process that reads them. */
#ifndef BID_HOLDER_H
#define BID_HOLDER_H

#include <stdint.h>

/* A task, or something of a task that holds a file: a descriptor, or a mapping. What does not apply is 0. */
struct bid_holder {
    uint64_t file;          /* address of struct file */
    uint64_t inode;         /* address of its struct inode */
    uint64_t number;        /* of the inode */
    uint64_t owner;         /* address of the table of descriptors, or of the mm, which tasks may share */
    uint64_t start, end;    /* of the mapping; start: the number of the descriptor */
    uint32_t process, task; /* as the reader's PID namespace numbers them */
    uint32_t device;        /* of the inode, as the kernel has it: major << 20 | minor */
    uint32_t generation;    /* of the inode */
    uint32_t mode;          /* of the inode: S_IFMT and permissions */
    uint32_t flags;         /* BID_HOLDER_... */
};
_Static_assert(sizeof(struct bid_holder) == 72, "no bytes between the fields");

#define BID_HOLDER_UNCOUNTED 1u /* the kernel's counter (/proc/sys/fs/file-nr) leaves this file out */

#endif
