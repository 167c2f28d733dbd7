/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The benchmark: what its files share. One job a file:
 *
 *   main.c      options, and the order in which things are measured
 *   keys.c      real-looking inode addresses, and the order in which they are asked for
 *   pybuildid.c the table, as a contender
 *   lfht.c      liburcu's cds_lfht, as a contender, where liburcu is installed
 *   loops.h     the loops over lookups, the same for each contender
 *   loads.c     loads from memory, beside which a lookup is judged
 *   quiet.c     hit, dependent hit, miss, insert, remove
 *   company.c   hits while another processor churns or resizes
 *   memory.c    resident bytes an entry, in a child process each
 *   serve.c     the C side of lookup_many.py
 *   figures.c   samples, medians, ratios with their bounds; report.c prints them, json.c writes them
 *   chunks.c    times what is done in chunks
 *   system.c    clock, processors, memory
 *
 * Times are nanoseconds an operation, over batches of at least config.batch_ns. A wrong answer ends the program.
 *
 * The machine may be shared. Lookups and loads are timed by CLOCK_MONOTONIC, a chunk at a time, and chunks that took
 * four times the median or more are left out as interruptions: a share that is reported. Inserts and removes, whose
 * slow chunks are their own (growing), are timed as a whole by the thread's processor time: no contender waits in one.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_ID_BYTES 20
#define BENCH_SIZES_MAX 8
#define BENCH_ROUNDS_MAX 99

struct bench_config {
    size_t sizes[BENCH_SIZES_MAX];
    unsigned size_count, rounds;
    uint64_t batch_ns, seed;
    int cpus[2]; /* of the measuring thread and of its partner; the second is -1 on a machine that has one */
};

/* ------------------------------------------------------------------------------------------------- keys -- */

#define BENCH_CHUNK 1024 /* operations between two looks at the clock */
#define BENCH_DRAWS (1024 * BENCH_CHUNK)

struct bench_draws {
    uint64_t keys[BENCH_DRAWS];               /* drawn at random, with repetition; walked in order */
    uint64_t sums[BENCH_DRAWS / BENCH_CHUNK]; /* of the first eight ID bytes of each chunk */
};

/* n inodes that are in the table and n that are not, mixed in the same slabs. The ID of an inode begins with the
 * address of the next inode on a random cycle through all n, so that a chain of lookups can follow it. */
struct bench_keys {
    size_t n;
    uint64_t *present; /* in the order of insertion */
    uint64_t *absent;
    uint64_t *cycle; /* the present ones along the cycle: another random order */
    uint64_t *next;  /* of present[i], along the cycle */
    struct bench_draws *hits, *misses;
};

struct bench_keys *bench_keys_make(size_t n, uint64_t seed);
void bench_keys_free(struct bench_keys *keys);
void bench_id(uint64_t next, uint8_t id[BENCH_ID_BYTES]);
uint64_t bench_random(uint64_t *state);            /* splitmix64 */
size_t bench_below(uint64_t *state, size_t limit); /* 0 to limit - 1 */

/* ------------------------------------------------------------------------------------------- contenders -- */

struct bench_contender {
    const char *name;
    void *(*create)(uint64_t seed);
    void (*destroy)(void *table);
    /* Return how many did what they should. next[i] goes into the ID of keys[i]. */
    size_t (*insert)(void *table, const uint64_t *keys, const uint64_t *next, size_t n);
    size_t (*remove)(void *table, const uint64_t *keys, size_t n);
    /* The whole ID of a key; 0 if it has none. */
    int (*lookup)(void *table, uint64_t key, uint8_t id[BENCH_ID_BYTES]);
    /* The sum of the first eight bytes of the n IDs; those of absent keys count 0. */
    uint64_t (*hits)(void *table, const uint64_t *keys, size_t n);
    /* The same through the contender's call for many keys at once; NULL: it has none. */
    uint64_t (*bulk)(void *table, const uint64_t *keys, size_t n);
    /* Follows the cycle for n steps from a key, and returns where it ends. */
    uint64_t (*chain)(void *table, uint64_t key, size_t n);
    /* Makes room for that many entries, and gives it back; NULL: no such call. */
    void (*resize)(void *table, size_t entries);
    /* Waits until work in the background has ended and what it left is freed. */
    void (*settle)(void *table);
    /* For each thread that uses the contender. */
    void (*thread_begin)(void);
    void (*thread_end)(void);
};

extern const struct bench_contender bench_pybuildid;
extern const struct bench_contender *const bench_lfht; /* NULL: built without liburcu */
#define BENCH_LFHT "cds_lfht"                          /* its name in figures, also where it is missing */
#define BENCH_CONTENDERS 2
extern const struct bench_contender *bench_contenders[BENCH_CONTENDERS + 1]; /* those that are here, then NULL */

uint64_t bench_table_bytes(void *table); /* of pybuildid's slots and records */

/* Fills an empty table, checks every answer, whole, and settles. */
void bench_fill(const struct bench_contender *contender, void *table, const struct bench_keys *keys);

/* ---------------------------------------------------------------------------------------------- figures -- */

#define BENCH_PLAIN "load, 4 KiB pages"
#define BENCH_HUGE "load, huge pages"

/* Adds a sample. what, who: string constants. */
void bench_sample(const char *what, const char *who, size_t size, double value);

struct bench_figure {
    const char *what, *who;
    size_t size;
    unsigned count;
    double samples[BENCH_ROUNDS_MAX];
};
const struct bench_figure *bench_figures(size_t *count);
const struct bench_figure *bench_find(const char *what, const char *who, size_t size); /* NULL: not measured */

struct bench_spread {
    double median, least, most;
};
struct bench_spread bench_spread(const double *samples, unsigned count);

struct bench_ratio {
    const char *label;
    size_t size;
    double bound;
    int measured, ok;
    const char *why_not; /* when not measured */
    struct bench_spread value;
};
size_t bench_ratios(const struct bench_config *config, struct bench_ratio *ratios, size_t capacity);

/* Entries at which memory was measured: right after a grow, and just before the next. */
struct bench_points {
    size_t size, after, before;
};
const struct bench_points *bench_memory_points(size_t *count);

int bench_report(const struct bench_config *config, FILE *out); /* returns how many bounds were missed */
void bench_json(const struct bench_config *config, FILE *out);

/* --------------------------------------------------------------------------------------------- measuring -- */

void bench_quiet(const struct bench_config *config, const struct bench_keys *keys);
void bench_updates(const struct bench_config *config, const struct bench_keys *keys);
void bench_company(const struct bench_config *config, const struct bench_keys *keys);
void bench_memory(const struct bench_config *config, size_t size);
int bench_serve(const struct bench_config *config, const char *path, size_t entries);

/* Runs `chunk`, which does BENCH_CHUNK operations, untimed for a while, then for at least batch_ns and as long as go_on
 * (may be NULL) says; ns an operation. */
double bench_time_chunks(void (*chunk)(void *argument), void *argument, uint64_t batch_ns, int (*go_on)(void *argument),
                         void *go_on_argument);
double bench_left_out(void); /* the share of chunks that were left out, in all */

/* Hits through `loop`, each chunk checked; ns a lookup. */
typedef uint64_t (*bench_loop)(void *table, const uint64_t *keys, size_t n);
double bench_time_draws(bench_loop loop, void *table, const struct bench_draws *draws, uint64_t batch_ns,
                        int (*go_on)(void *argument), void *argument);

/* Loads over as many bytes as the table has. */
struct bench_loads;
struct bench_loads *bench_loads_make(size_t bytes, int huge, uint64_t seed);
void bench_loads_free(struct bench_loads *loads);
double bench_loads_independent(struct bench_loads *loads, uint64_t batch_ns);
double bench_loads_dependent(struct bench_loads *loads, uint64_t batch_ns);

/* ------------------------------------------------------------------------------------------------ system -- */

uint64_t bench_now(void); /* CLOCK_MONOTONIC, ns */
uint64_t
bench_thread_time(void); /* processor time of this thread, ns: stands still while the system runs another one */
void bench_find_cpus(int cpus[2]);
void bench_pin_to(int cpu);              /* -1: leave it where it is */
extern int bench_helper_cpu;             /* where background threads of a contender go: the partner's */
uint64_t bench_cpu_time(void);           /* of the process, ns */
uint64_t bench_resident(void);           /* anonymous bytes of the process */
void *bench_map(size_t bytes, int huge); /* aligned to 2 MiB, advised for or against huge pages, touched */
void *bench_allocate(size_t bytes);
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
