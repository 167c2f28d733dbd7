/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every operation of the table, and what it begins with: for whoever steps them, or stops in the middle of them. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "judge.h"

enum scenario_kind {
    PLAIN,
    INODES,   /* as PLAIN; the key in question is an inode */
    COMPOUND, /* several operations: with an update of the key between two of them, it is not as if done at once */
    RESTARTS, /* what is special about it is gone once a handler has looked up: to be run anew with quieter handlers */
    RACED,    /* as PLAIN; where the key in question would be updated, something else comes in between: see races.c */
    THREADED, /* has threads of its own, which a fork would leave behind */
    CROWDED,  /* as THREADED; no resize of its table can be finished, for too many keys collide */
    FORKS,
    FIRST_TABLES, /* the making of its tables is stepped, the first of the process: there is nothing to look up yet */
    LONG_ONES,    /* longer than updates at some of its instructions are worth: handlers only look up */
    LIMITED,      /* its table refuses updates, or would no longer refuse them after another: handlers only look up */
};

struct scenario {
    const char *name, *summary;
    enum scenario_kind kind;
    const struct bid_options *options; /* of both tables, but for the seed */
    void (*prepare)(void);             /* not stepped; may be NULL */
    int (*operate)(void);              /* stepped */
    uint64_t before, after;            /* versions of KEY */
    int status;                        /* what operate() is to return */
};

const struct scenario *scenario_get(size_t number); /* NULL past the last */
const struct scenario *scenario_named(const char *name);

/* Makes both tables and brings the first to where the scenario begins. */
void scenario_prepare(const struct scenario *scenario);
void scenario_watch(const struct scenario *scenario, struct judged_key watch[WATCHED]);

/* The lists, each of which ends with one that has no name; in scenarios.c, forms.c, limits.c, inodes.c and so on. */
extern const struct scenario plain_scenarios[], form_scenarios[], limit_scenarios[], inode_scenarios[],
    kind_scenarios[], stalled_scenarios[], system_scenarios[], memory_scenarios[], rebuild_scenarios[],
    race_scenarios[], audit_scenarios[];

/* What each step of a scenario returns; the first that is not as expected is what the scenario returns. */
#define EXPECT(call, expected)                                                                                         \
    do {                                                                                                               \
        int status_ = (call);                                                                                          \
        if (status_ != (expected))                                                                                     \
            return status_ ? status_ : BID_E_NULL;                                                                     \
    } while (0)

/* Of a scenario of kind RACED. */
struct race {
    int (*meanwhile)(void); /* what comes in between; returns a status */
    int (*is_time)(void);   /* whether the next instruction is one to do it at; NULL: each is */
};
const struct race *race_of(const struct scenario *scenario);

/* In inodes.c. */
uint64_t inode_version(uint64_t unused);
uint64_t inode_address(void);
void prepare_living_inode(void);
int associate(void), evict(void);

/* In stalled.c. */
int has_not_left(void);
void prepare_not_left(void);

/* In threads.c. */
void prepare_full_pins(void), prepare_overflow(void), prepare_longest(void);
void let_read_for_good(struct bid_table *table); /* a thread that holds a pin from now on */
/* A thread that runs this until the moment has come, and stands still there for good. */
void let_stand(void *(*run)(void *), int (*is_time)(void));
int first_pin(void), last_pin(void), forked(void), forked_in_overflow(void);
int in_child(int (*operate)(void)); /* of a fork, which is stepped; BID_OK if it is that there */

/* In scenarios.c, for the files above. */
extern const struct bid_options roomy, small, few; /* small: grows soon; few: a path is full at a low load */
void prepare_key(void), prepare_resize(void), prepare_key_in_resize(void), prepare_no_room(void), prepare_retired(void),
    prepare_full_path(void), prepare_no_memory(void);
int insert_key(void), insert_from_nmi(void), replace_key(void), remove_key(void), look_up(void), reserve(void),
    shrink(void);
int iterate(void), list_keys(void), read_statistics(void);
int count_entries(void *argument, uint64_t key, int status, const struct bid_build_id *id);

#endif
