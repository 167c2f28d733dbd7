/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the handler checks after each instruction, and does besides. Keys are inode addresses; versions are generations.
 */
#ifndef JUDGE_H
#define JUDGE_H

#define CHECK_NO_AUDIT /* of tests/c/check.h: handlers update the tables that operations destroy */

#include "bid.h"

#include "../common/quiet.h"

#include <stdatomic.h>

#define STEADY 40    /* keys of both tables that no operation touches */
#define NEIGHBOURS 4 /* other keys of the probe sequence that stay; handlers insert and remove as many more */
#define WATCHED 2    /* keys in question, at most */
#define ABSENT 0

enum judge_mode {
    JUDGE_LOOKS,   /* the handler only looks up */
    JUDGE_UPDATES, /* and inserts and removes, in the forms for NMI context */
    JUDGE_GROWS,   /* and lets another thread insert, replace, remove, grow and shrink, until that is done */
    JUDGE_COLLIDES /* as JUDGE_LOOKS; and in a child of a fork it updates the key in question: see collide.c */
};
#define JUDGE_GROWS_MAX 16 /* in one run: an operation that met a new array for ever would run for ever */

struct judge_orders {
    enum judge_mode mode;
    uint64_t every, phase; /* updates at instructions phase, phase + every, ... */
    uint64_t count_every;  /* at these, a lookup is stepped itself, and its instructions counted; 0: never. Of children:
                              one in so many is stepped */
};

/* What is watched while an operation runs: it has its version before or after that, and never goes back. */
struct judged_key {
    uint64_t (*version)(uint64_t key);
    uint64_t key, before, after;
};

/* What was found in one scenario, in memory that is shared over a fork. */
struct judged {
    _Atomic(uint64_t) interrupted, lookups, in_resize, updates, refused, updated_at, wrong;
    _Atomic(uint64_t) longest; /* instructions of one process, where there are several */
    _Atomic(uint64_t) max_slots, max_records, max_instructions;
    struct quiet_found quiet; /* system calls of the handler's lookups and updates */
    char first_wrong[300];
};

extern struct bid_table *stepped, *second; /* one that operations change, and one that only stays */
extern struct judged *judged;

void judge_make(struct judge_orders orders);
void judge_thread(void); /* in each other thread that is stepped, before that begins */

void judge_allow(int status); /* updates of other threads may be refused so */

/* Before an operation: the handler keeps quiet for the first `from` instructions. A watch without version() is none. */
void judge_begin(const struct judged_key watch[WATCHED], uint64_t from);
void judge_visit(uint64_t address);
void judge_note(uint64_t address); /* that the handler was there, and nothing more */
void judge_end(void);
uint64_t judge_instructions(void); /* since judge_begin(), in this process */

void judge_wrong(const char *what, uint64_t key, uint64_t version);
uint64_t judge_version(uint64_t key); /* in `stepped`: ABSENT or the generation; a wrong ID is wrong */

/* Keys of one probe sequence, in every array of the scenarios' first seed; and with one tag, so that a lookup reads all
 * records. */
#define SEED 7
uint64_t path_key(uint64_t number);
#define KEY path_key(0) /* the key in question */

#endif
