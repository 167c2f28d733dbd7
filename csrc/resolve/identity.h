/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which file it is, and in which state. If both are the same, a build ID that was read before still holds. See
 * identity.c. */
#ifndef BID_IDENTITY_H
#define BID_IDENTITY_H

#include <stdint.h>

#define BID_HANDLE_MAX 64

struct bid_identity {
    int32_t known;   /* 0: nothing is known of it, or it is no regular file */
    int32_t settled; /* 1: a later change of the file cannot look like none */
    uint64_t device, number, size;
    int64_t change_seconds, change_nanoseconds;
    int32_t handle_type;
    uint32_t handle_bytes; /* 0: the file system has no handles */
    char handle[BID_HANDLE_MAX];
};

/* Both follow links. Context: thread. Progress: blocking (system calls). Memory: none. May change errno. */
void bid_identity_of_path(struct bid_identity *identity, const char *path);
void bid_identity_of_descriptor(struct bid_identity *identity, int fd);

/* Whether both are known and the same file in the same state, whether settled or not. */
int bid_identity_equal(const struct bid_identity *a, const struct bid_identity *b);

#endif
