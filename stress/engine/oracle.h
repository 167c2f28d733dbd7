/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The oracle: what a lookup may answer.
 *
 * Each key has a version, counted up by the one thread that owns the key; what the table must say about (key, version)
 * is a function of the two. The owner announces a version before the operation (`begun`) and after it (`done`). A lookup
 * may answer with any version from `done` as read before it to `begun` as read after it, and with none older than what
 * its thread or one of that thread's handlers had been answered when it began.
 *
 * An entry carries its version as its generation, so an answer that names one is judged by every byte of its ID. An
 * "absent" names none; it is taken for the oldest absent version that is legal.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "engine.h"
#include "pybuildid.h"

#include <stdatomic.h>

struct oracle_key {
    uint64_t key;
    uint8_t length; /* of version 0, the real build ID */
    uint8_t id[BID_ID_MAX];
    _Atomic(uint64_t) begun, done;
};

struct oracle {
    uint64_t n;
    struct oracle_key *keys;
};

/* What the table must say: BID_OK, BID_NO_BUILD_ID or BID_ABSENT; fills *id but for BID_ABSENT. */
int oracle_state(const struct oracle_key *key, uint64_t version, struct bid_build_id *id);

/* The version from `lowest` to `highest` that the answer shows; *version is what it names, and 0 is returned, if none. */
int oracle_judge(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                 const struct bid_build_id *id, uint64_t *version);

/* splitmix64: one step of a generator whose state is *state, and a good mixture of one number. */
uint64_t oracle_random(uint64_t *state);

#endif
