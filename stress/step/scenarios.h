/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Scenarios: an operation of the table, and the state in which it begins. `step` and `freeze` use them. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "judge.h"

enum scenario_kind {
    PLAIN,
    INODES,   /* as PLAIN; the key in question is an inode */
    COMPOUND, /* several operations: an update of the key between two of them is seen, so they are not one operation */
    RESTARTS, /* a lookup in a handler ends the special state: it is run again with handlers that do less */
    RACED,    /* as PLAIN; instead of an update of the key in question something else comes in between: see races.c */
    THREADED, /* has threads of its own, which a fork would leave behind */
    CROWDED,  /* as THREADED; no resize of its table can be finished, because too many keys collide */
    FORKS,
    FIRST_TABLES, /* creates the first tables of the process while it is stepped: there is nothing to look up yet */
    LONG_ONES,    /* so long that updates at its instructions would take too much time: handlers only look up */
    LIMITED,      /* its table refuses updates, or an update of a handler would end that: handlers only look up */
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

/* The lists of scenarios.c, forms.c, limits.c, inodes.c and so on. The last element of each has no name. */
extern const struct scenario plain_scenarios[], form_scenarios[], limit_scenarios[], inode_scenarios[],
    kind_scenarios[], stalled_scenarios[], system_scenarios[], memory_scenarios[], rebuild_scenarios[],
    race_scenarios[], audit_scenarios[];

/* A step of a scenario that has several. If the call returns another status, the scenario ends with that status. */
#define EXPECT(call, expected)                                                                                         \
    do {                                                                                                               \
        int status_ = (call);                                                                                          \
        if (status_ != (expected))                                                                                     \
            return status_ ? status_ : BID_E_NULL;                                                                     \
    } while (0)

/* What a scenario of kind RACED has in addition. */
struct race {
    int (*meanwhile)(void); /* is done between two instructions; returns a status */
    int (*is_time)(void);   /* whether it is done before the next instruction; NULL: before each */
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
void let_read_for_good(struct bid_table *table); /* starts a thread that holds a pin from now on */
/* Starts a thread that runs `run` until is_time(), and stands still there for good. */
void let_stand(void *(*run)(void *), int (*is_time)(void));
int first_pin(void), last_pin(void), forked(void), forked_in_overflow(void);
int in_child(int (*operate)(void)); /* operates in the child of a fork, stepped; returns BID_OK if operate() does */

/* In scenarios.c, for the files above. */
extern const struct bid_options roomy, small, few; /* small: grows soon; few: a path is full at a low load */
void prepare_key(void), prepare_resize(void), prepare_key_in_resize(void), prepare_no_room(void), prepare_retired(void),
    prepare_full_path(void), prepare_no_memory(void);
int insert_key(void), insert_from_nmi(void), replace_key(void), remove_key(void), look_up(void), reserve(void),
    shrink(void);
int iterate(void), list_keys(void), read_statistics(void);
int count_entries(void *argument, uint64_t key, int status, const struct bid_build_id *id);

#endif
