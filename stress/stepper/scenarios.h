/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every operation of the table, and what it begins with: for whoever steps them, or stops in the middle of them. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "judge.h"

enum scenario_kind {
    PLAIN,
    RESTARTS, /* what is special about it is gone once a handler has looked up: to be run anew with quieter handlers */
    CROWDED,  /* has threads of its own, which a fork would leave behind */
    FORKS,
};

struct scenario {
    const char *name, *summary;
    enum scenario_kind kind;
    uint64_t room;          /* expected_entries of the table */
    void (*prepare)(void);  /* not stepped; may be NULL */
    int (*operate)(void);   /* stepped */
    uint64_t before, after; /* versions of KEY */
    int status;             /* what operate() is to return */
};

const struct scenario *scenario_get(size_t number); /* NULL past the last */
const struct scenario *scenario_named(const char *name);

/* Makes both tables and brings the first to where the scenario begins. byte_limit as in struct bid_options. */
void scenario_prepare(const struct scenario *scenario, uint64_t byte_limit);
void scenario_watch(const struct scenario *scenario, struct judged_key watch[WATCHED]);

/* In inodes.c. */
uint64_t inode_version(uint64_t unused);
uint64_t inode_address(void);
void prepare_living_inode(void), prepare_associated(void);
int associate(void), evict(void), lookup_inode(void);

/* In threads.c. */
void prepare_crowd(void), prepare_pinned_crowd(void), prepare_stalled_helper(void), prepare_longest(void);
int first_pin(void), last_pin(void), forked(void);

/* In scenarios.c, for the files above. */
void prepare_key(void), prepare_resize(void);
int look_up(void);

#endif
