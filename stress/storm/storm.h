/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inside the engine: one storm, and its threads. */
#ifndef STORM_H
#define STORM_H

#include "../../study/rivals/rivals.h"
#include "forms.h"
#include "oracle.h"
#include "shared.h"
#include "sources.h"

#include <pthread.h>
#include <stdatomic.h>

#define STORM_PERIOD_US 50  /* of perf and the timers, to begin with */
#define STORM_STEADY_KEYS 8 /* of so many real keys one is never changed */
#define STORM_BATCH 24      /* keys of each churner that are inserted together */
#define STORM_GOING_ON 2    /* churners that are never stopped */

/* Of an updater that is to stop for good: the director asks, and the first handler inside an update stops. */
enum storm_stopping { STORM_GOES_ON, STORM_ASKED, STORM_STANDS };

/* A thread of the storm, and all that its handlers need. */
struct storm_thread {
    struct storm *storm;
    struct storm_worker *shared;
    pthread_t pthread;
    struct source_set sources;
    struct quiet quiet;
    atomic_int stopping; /* enum storm_stopping */
    atomic_int armed;    /* the sources are: signals may be directed at it, and its period be changed */
    _Atomic(uint64_t) current,
        contested;                  /* numbers of the keys that it updated last, or is updating, for its handlers */
    atomic_int level;               /* 0: the thread itself; else how many handlers are nested */
    atomic_int place[STORM_LEVELS]; /* enum storm_place of each level */
    uint64_t random[STORM_LEVELS];
    uint64_t *sweep_words[STORM_LEVELS]; /* see sweep.c */
    uint8_t *sweep_bytes[STORM_LEVELS];
    uint64_t resizes; /* that the thread has seen */
    unsigned number;
    int churner;
    int growing; /* a churner inserts more than it removes, or the other way round */
};

struct storm {
    const struct bid_design *design;
    const struct storm_forms *forms; /* NULL: the design is not ours, and has none of these */
    void *table;
    struct storm_config config;
    struct storm_shared *shared;
    struct oracle oracle;
    uint64_t real;   /* keys of the oracle that are the input's; the others come after them */
    uint64_t single; /* keys that are updated one by one; batches come after them, one for each churner */
    atomic_int stop;
    struct storm_thread thread[STORM_WORKERS];
};

/* The start routine of a thread: a struct storm_thread *. Runs until storm->stop. */
void *worker_run(void *thread);

/* Installs the handlers of all sources' signals. Returns 0, or -1 with errno. */
int worker_install_handlers(void);

#endif
