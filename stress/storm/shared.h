/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The storm's engine, as its Python side sees it.
 *
 * storm_start() forks a child that runs the storm and shares its counters with the caller, so that a child that is
 * blocked for good can be observed and killed. Nothing in the child is Python.
 */
#ifndef SHARED_H
#define SHARED_H

#include "bid.h"

#include "../common/quiet.h"

enum storm_source { STORM_PERF, STORM_TIMER, STORM_DIRECTED, STORM_SOURCES };
enum storm_state { STORM_STARTING, STORM_RUNNING, STORM_CHECKING, STORM_DONE, STORM_FAILED };
/* What a storm tries. The usual one; handlers that call a rival's ordinary updates; updaters that are stopped for
 * good. */
enum storm_trial { STORM_USUAL, STORM_HANDLERS_UPDATE, STORM_STOPPED };
enum storm_place { STORM_ELSEWHERE, STORM_IN_UPDATE, STORM_IN_LOOKUP };

#define STORM_WORKERS 16
#define STORM_LEVELS (1 + STORM_SOURCES) /* a thread, and nested in it a handler of each signal */
#define STORM_COMPLAINTS 8

/* The functions of the table that a storm calls and counts: all but those by which it makes and destroys the table. */
#define STORM_EACH_OPERATION(X)                                                                                        \
    X(lookup)                                                                                                          \
    X(lookup_generation)                                                                                               \
    X(lookup_cost)                                                                                                     \
    X(lookup_many)                                                                                                     \
    X(iterate)                                                                                                         \
    X(keys)                                                                                                            \
    X(count)                                                                                                           \
    X(resizing)                                                                                                        \
    X(resizes)                                                                                                         \
    X(statistics)                                                                                                      \
    X(insert)                                                                                                          \
    X(insert_nmi)                                                                                                      \
    X(insert_many)                                                                                                     \
    X(replace)                                                                                                         \
    X(upsert)                                                                                                          \
    X(remove)                                                                                                          \
    X(remove_nmi)                                                                                                      \
    X(remove_generation)                                                                                               \
    X(reserve)                                                                                                         \
    X(shrink)                                                                                                          \
    X(reclaim)

#define STORM_NUMBER(name) STORM_##name,
enum storm_operation { STORM_EACH_OPERATION(STORM_NUMBER) STORM_OPERATIONS };

struct storm_config {
    const char *design; /* a name, see storm_design_name() */
    const uint64_t *keys;
    const uint8_t *ids;     /* n rows of 64 bytes */
    const uint8_t *lengths; /* 0: known to have no build ID */
    uint64_t n;
    uint64_t seed;
    double seconds;
    uint32_t lookers, churners; /* threads; together at most STORM_WORKERS */
    uint32_t sources;           /* bits of enum storm_source that are allowed */
    uint32_t trial;             /* enum storm_trial */
    struct bid_options options; /* of the table, where it is ours */
};

/* One answer that no legal order of events explains. */
struct storm_complaint {
    uint64_t key;
    uint64_t lowest, highest; /* the versions that would have been legal */
    uint64_t answered;        /* the version that the answer names, UINT64_MAX if it names none */
    int32_t status;
    uint32_t level; /* 0: a thread; above: a handler */
    uint32_t place; /* enum storm_place: what the handler interrupted */
    uint32_t
        operation; /* enum storm_operation: what answered. A visit of all entries is told BID_EXISTS for one that it
                           saw twice, and BID_ABSENT for one that it should have seen */
};

/*
 * What one thread did at one level of nesting. Nobody else writes it: of two handlers at one level the first is over
 * before the second begins. So no count is lost, without an atomic addition.
 *
 * An interruption counts as landed inside an update or a lookup when it comes between two marks that the interrupted
 * level sets around its call of the design; the marks are a few instructions from the call. It counts as landed inside
 * a resize when it landed inside an update and the table says that a resize stands half done.
 */
struct storm_tally {
    uint64_t begun, ended;  /* lookups: one that never ends shows here */
    uint64_t entered, left; /* calls that update: the same */
    uint64_t full;          /* of them, refused with BID_E_MAX_ENTRIES */
    uint64_t interruptions[STORM_SOURCES];
    uint64_t landed_in_update, landed_in_resize, landed_in_lookup;
    uint64_t updates,
        refused; /* refused: for BID_E_RETIRED, BID_E_MAX_ENTRIES, or for NMI context BID_E_WOULD_ALLOCATE */
    uint64_t operations[STORM_OPERATIONS];
    uint64_t wrong, errno_changed;
    uint32_t max_slots, max_records;
};

struct storm_worker {
    _Alignas(64) int32_t tid; /* 0: not started yet */
    struct storm_tally tally[STORM_LEVELS];
};

struct storm_shared {
    uint32_t state;                                 /* enum storm_state */
    char failed[96];                                /* what failed and why, with STORM_FAILED */
    uint32_t sources;                               /* bits of enum storm_source that are in use */
    uint32_t perf_errno;                            /* why perf is not among them */
    double seconds;                                 /* that the storm lasted, from STORM_CHECKING on */
    uint32_t period_us;                             /* of perf and the timers, adapted to the machine */
    uint32_t stopped;                               /* updaters that were stopped for good */
    uint64_t updates_before;                        /* that all had made when the last of them was asked to stop */
    uint64_t errors;                                /* updates that failed */
    int32_t first_error;                            /* with this status */
    uint64_t resizes, entries, count, wrong_at_end; /* with STORM_DONE: found by looking up, and as the table counts */
    struct quiet_found quiet;                       /* system calls in lookups and in updates for NMI context */
    uint64_t complaints;
    struct storm_complaint complaint[STORM_COMPLAINTS];
    struct storm_worker worker[STORM_WORKERS];
};

/* Returns the child's process number, or -errno. *shared stays mapped until storm_free(). */
int storm_start(const struct storm_config *config, struct storm_shared **shared);
void storm_free(struct storm_shared *shared);

/* Name and summary of design i, NULL past the last; lying designs come last and say so in their name. */
const char *storm_design_name(uint32_t i);
const char *storm_design_summary(uint32_t i);

/* Name of an operation's function: "bid_lookup". */
const char *storm_operation_name(uint32_t operation);

#endif
