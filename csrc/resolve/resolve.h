/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The mappings of this process as a lookup sees them. Nothing here allocates.
 *
 * A snapshot is one piece of memory: the executable ranges, sorted and disjoint; the files behind them, each with the
 * struct bid_inode that is its key in the table; the paths. It is filled in private, published by one compare-and-swap
 * of the current pointer (M), and never changed after that. It is freed a grace period after another one took its
 * place. The entries of its inodes are in the table from before the publication until after the grace period.
 */
#ifndef BID_RESOLVE_H
#define BID_RESOLVE_H

#include "bid/inode.h"
#include "bid/resolve.h"

#include "identity.h"

#include "../table/bid_atomic.h"
#include "../table/pin.h"

/* (M) the current pointer publishes a snapshot, and the entries of its files */
#define BID_M_RELEASE memory_order_release
#define BID_M_ACQUIRE memory_order_acquire

struct bid_mapped_file {
    struct bid_inode inode; /* its address is the key in the table */
    uint64_t header;        /* where offset 0 is mapped, or 0 */
    uint64_t id_offset;
    const char *path;
    int32_t status; /* BID_OK, BID_NO_BUILD_ID, or BID_ABSENT: not known */
    struct bid_build_id id;
    struct bid_identity identity; /* of the file when this was read; not known: from memory, or not at all */
};

struct bid_range {
    uint64_t start, end, offset;
    struct bid_mapped_file *file; /* NULL: memory without a file */
    const char *path;
    uint64_t fresh; /* the snapshot before does not have it */
};

struct bid_snapshot {
    uint64_t count; /* of ranges */
    struct bid_range *ranges;
    struct bid_mapped_file *files;
    uint64_t file_count;
    uint64_t begun, ended; /* when /proc/self/maps was read, by maps->clock */
    uint64_t number;
    uint64_t same; /* 1: it says the same as the snapshot before; for the refresh that makes it */
    uint64_t bytes;
    uint64_t epoch;            /* when it was retired */
    struct bid_snapshot *next; /* in the list of retired ones */
};

struct bid_follower; /* follow.c */
struct bid_readings; /* readings.h */

struct bid_maps {
    _Alignas(64) _Atomic(struct bid_snapshot *) current; /* never NULL */
    struct bid_pins *pins;
    struct bid_table *table;

    _Alignas(64) _Atomic(struct bid_snapshot *) retired; /* a stack: pushed one by one, taken whole */
    bid_word clock;                                      /* orders readings of /proc/self/maps */
    bid_word published;
    bid_word waiting; /* retired and not freed */
    int own_table;
    struct bid_readings *readings; /* refreshes under way */
    bid_word eras;                 /* readings.h */
    struct bid_follower *follower;
};

struct bid_elf;

/* file.c: fills in generation, id, id_offset, status and identity of a file that has its path, inode and header.
 * `range` is one of its mappings. */
void bid_mapped_file_read(struct bid_mapped_file *file, const struct bid_range *range);

/* file.c: fills in id, id_offset and status from the parser's answer. */
void bid_mapped_file_take(struct bid_mapped_file *file, const struct bid_elf *elf, int status);

/* file.c: whether bid_mapped_file_read() would give the same again: it is the same file, and unchanged. */
int bid_mapped_file_unchanged(const struct bid_mapped_file *file, const struct bid_range *range);

#endif
