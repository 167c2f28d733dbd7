/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The designs that are compared, behind one interface: ours and its rivals.
 *
 * Statuses, arguments and contexts are those of the functions of the same name in bid/table.h. There are also the
 * statuses of enum rival_status. A lookup's cost may be NULL; then it is not measured. The head of each design's file
 * says which lookups may interrupt what. Of the functions after remove, a design leaves NULL those that it does not
 * have. Designs that grow (except ours), and those without a table, hold build IDs of at most BID_ID_NARROW bytes.
 */
#ifndef BID_RIVALS_H
#define BID_RIVALS_H

#include "bid.h"

struct bid_chain_hash; /* csrc/collisions/chains.h */

enum rival_status {
    RIVAL_BUSY = 100, /* lookup: somebody holds the lock, so there is no answer */
    RIVAL_NOT_IN_MEMORY =
        101 /* lookup: what the answer stands in is not in memory, and may not be read from disk now */
};

struct bid_design {
    const char *name;
    const char *summary;                                       /* one line, for a reader who has not seen it */
    void *(*create)(uint64_t expected_entries, uint64_t seed); /* NULL: no memory */
    void (*destroy)(void *design);

    /* Chooses the hash of an empty table that nobody else uses yet. NULL: it has one hash. */
    void (*choose_hash)(void *design, const struct bid_chain_hash *hash);

    int (*lookup)(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);
    int (*lookup_generation)(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id);
    int (*insert)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*replace)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove)(void *design, uint64_t key);
    int (*insert_nmi)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove_nmi)(void *design, uint64_t key);
    int (*reserve)(void *design, uint64_t entries);
    int (*shrink)(void *design);
    uint64_t (*reclaim)(void *design);
    uint64_t (*count)(const void *design);
    int (*resizing)(const void *design);
    uint64_t (*resizes)(const void *design);

    /* As bid_keys(). Exact when no update is under way. Context: thread. */
    size_t (*keys)(void *design, uint64_t *keys, size_t capacity);

    /* Loops over the design's own lookup (see loops.h), for timing: hits() returns the sum of the first eight bytes of
     * the IDs of n keys, where an absent key counts 0; chain() looks n times for the key that the last ID began with,
     * and returns the last one. */
    uint64_t (*hits)(void *design, const uint64_t *keys, size_t n);
    uint64_t (*chain)(void *design, uint64_t key, size_t n);

    /* A loop over the design's own lookup into rows of BID_ID_NARROW bytes and their lengths: how many were found. */
    size_t (*into_arrays)(void *design, const uint64_t *keys, size_t n, uint8_t *ids, uint8_t *lengths);

    /* The same by one call of the design's own for all keys, whose prefetches overlap. */
    size_t (*lookup_many)(void *design, const uint64_t *keys, size_t n, uint8_t *ids, uint8_t *lengths);

    /* The bytes that it holds outside of malloc(); NULL: none. */
    uint64_t (*mapped_bytes)(const void *design);

    /* Lookups that were answered with RIVAL_BUSY. */
    uint64_t (*busy)(const void *design);

    /* Where this is there, an entry belongs to an object that the caller holds in its hand (a struct file, an inode, a
     * mapping): all functions take the object's address instead of a key, and this one finds or makes the stand-in of
     * the object that a key names; 0: no memory. Neither it nor the object counts as memory of the design.
     * Context: thread. */
    uint64_t (*object)(void *design, uint64_t key);

    /* Takes what the answer for a key stands in out of memory, as the kernel does when memory is short. */
    int (*page_out)(void *design, uint64_t key);

    /* Waits until work in the background is done and what is retired is freed. */
    void (*settle)(void *design);

    /* For each thread but the first that uses the design. */
    void (*thread_begin)(void);
    void (*thread_end)(void);

    uint32_t traits; /* of enum rival_trait */
};

enum rival_trait {
    RIVAL_GROWS = 1u << 0,    /* has no number of buckets that was fixed when it was created */
    RIVAL_POINTER = 1u << 1,  /* a field in the object: no table */
    RIVAL_REPARSES = 1u << 2, /* stores nothing */
};

extern const struct bid_design bid_design_ours;
extern const struct bid_design bid_design_spinlock;
extern const struct bid_design bid_design_trylock;
extern const struct bid_design bid_design_fixed;
extern const struct bid_design bid_design_rwlock;
extern const struct bid_design bid_design_seqcount;
extern const struct bid_design bid_design_file;
extern const struct bid_design bid_design_inode;
extern const struct bid_design bid_design_reparse;

/* All of the above in this order; NULL past the last. */
const struct bid_design *bid_design_number(unsigned i);

#endif
