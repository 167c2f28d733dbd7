/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The oracle: what a lookup may answer.
 *
 * Each key has a version, counted up by the one thread that owns the key; what the table must say about (key, version)
 * is a function of the two. The owner announces a version before the operation (`begun`) and after it (`done`). A
 * lookup may answer with any version from `done` as read before it to `begun` as read after it, and with none older
 * than what any lookup that was over when this one began, in whatever thread or handler, had been answered (`seen`).
 *
 * Some keys are contested: every churner updates them, and handlers do. Each insert or replace has a version of its
 * own, a multiple of four; a lookup may answer with any that was given out, or "absent". And the inserts and removes
 * that succeeded must take turns, so at the end there is one insert more if the key is present, and else as many.
 *
 * Some keys come in batches, by bid_insert_many(), which gives all generation 0: their odd versions are absent, and an
 * answer is judged by its ID alone.
 *
 * An entry carries its version as its generation, so an answer that names one is judged by every byte of its ID. An
 * "absent" or "stale" names none; it is taken for the oldest legal version that explains it.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "bid.h"
#include "shared.h"

#include <stdatomic.h>

struct oracle_key {
    uint64_t key;
    uint8_t length; /* of version 0, the real build ID */
    uint8_t id[BID_ID_MAX];
    uint8_t longest; /* build IDs that are longer are cut off; 0: none is */
    uint8_t batch;   /* inserted by bid_insert_many(): see above */
    _Atomic(uint64_t) begun, done, seen;
};

#define ORACLE_CONTESTED 64
#define ORACLE_NOBODY UINT64_MAX

struct oracle_contested {
    struct oracle_key key;    /* begun: the last version that was given out */
    _Atomic(int64_t) balance; /* inserts less removes */
};

struct oracle_index {
    uint64_t key, number;
};

struct oracle {
    uint64_t n;
    struct oracle_key *keys;
    struct oracle_contested contested[ORACLE_CONTESTED];
    struct oracle_index *index; /* by key, of n + ORACLE_CONTESTED: the contested ones come after the others */
};

/* Makes the index of all keys, which stay the same from then on. Returns 0, or -1 if there is no memory. */
int oracle_sort(struct oracle *oracle);

/* The number of a key, n and above for contested ones, or ORACLE_NOBODY. */
uint64_t oracle_find(const struct oracle *oracle, uint64_t key);

/* What the table must say: BID_OK, BID_NO_BUILD_ID or BID_ABSENT; fills *id but for BID_ABSENT. */
int oracle_state(const struct oracle_key *key, uint64_t version, struct bid_build_id *id);

/* The oldest version that a lookup which begins now may answer with. */
uint64_t oracle_lowest(const struct oracle_key *key);

/* The newest version that a lookup which ended just now may have answered with. */
uint64_t oracle_highest(const struct oracle_key *key);

/* Whether the answer of a lookup shows a version from `lowest` to `highest`, which *version then is. Otherwise *version
 * is the one that it names, UINT64_MAX if it names none. */
int oracle_judge(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                 const struct bid_build_id *id, uint64_t *version);

/* As oracle_judge(), for a lookup that asked for one generation. */
int oracle_judge_generation(const struct oracle_key *key, uint64_t lowest, uint64_t highest, uint32_t generation,
                            int status, const struct bid_build_id *id, uint64_t *version);

/* As oracle_judge(), for a row of bid_lookup_many(). */
int oracle_judge_row(const struct oracle_key *key, uint64_t lowest, uint64_t highest, const uint8_t *row,
                     size_t id_size, unsigned length, uint64_t *version);

/* A new version of a contested key. */
uint64_t oracle_version(struct oracle_contested *contested);

/* As oracle_judge(), for a contested key. */
int oracle_judge_contested(const struct oracle_contested *contested, int status, const struct bid_build_id *id,
                           uint64_t *version);

/* From now on no lookup that begins may answer with an older version. */
void oracle_remember(struct oracle_key *key, uint64_t version);

/* splitmix64: one step of a generator whose state is *state, and a good mixture of one number. */
uint64_t oracle_random(uint64_t *state);

#endif
