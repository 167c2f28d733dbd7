/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A build ID: the bytes that name one build of an ELF file. */
#ifndef BID_PUBLIC_BUILD_ID_H
#define BID_PUBLIC_BUILD_ID_H

#include <stdint.h>

#define BID_ID_MAX 64    /* bytes of the longest build ID that an entry can hold */
#define BID_ID_NARROW 20 /* bytes of the usual build ID (SHA-1), and the default of options.id_size */

/* What a lookup gives back. */
struct bid_build_id {
    uint32_t generation; /* of the inode, as it was given to insert */
    uint8_t length;      /* of the build ID, in bytes; 0 with BID_NO_BUILD_ID */
    uint8_t reserved[3];
    uint8_t bytes[BID_ID_MAX]; /* the first `length` are the build ID; zeros follow, how many is not specified */
};

#endif
