/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Times the operations of a design: see timing.h. */
#define _GNU_SOURCE
#include "timing.h"

#include "chunks.h"
#include "clock.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define CHUNKS_MIN 50 /* for a median that is not an interruption */
#define CHUNKS_MAX (1u << 16)
#define SLICE 64 /* keys inserted, then removed again */

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

size_t timing_below(uint64_t *state, size_t limit)
{
    return (size_t)((next_random(state) >> 32) * (uint64_t)limit >> 32);
}

void timing_id(uint64_t next, uint8_t id[BID_ID_NARROW])
{
    uint64_t words[3] = {next, ~next, next * 3};
    memcpy(id, words, BID_ID_NARROW);
}

void timing_shuffle(uint64_t *keys, size_t n, uint64_t seed)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = timing_below(&seed, i);
        uint64_t key = keys[i - 1];
        keys[i - 1] = keys[j];
        keys[j] = key;
    }
}

int timing_cycle(const uint64_t *keys, size_t n, uint64_t seed, uint64_t *cycle, uint64_t *next)
{
    uint64_t *order = malloc(n * sizeof *order);
    if (!order)
        return TIMING_MEMORY;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    timing_shuffle(order, n, seed);
    for (size_t i = 0; i < n; i++) {
        cycle[i] = keys[order[i]];
        next[order[i]] = keys[order[(i + 1) % n]];
    }
    free(order);
    return TIMING_OK;
}

void timing_draw(const uint64_t *keys, const uint64_t *next, size_t n, uint64_t seed, uint64_t *draws, uint64_t *sums,
                 size_t count)
{
    memset(sums, 0, count / TIMING_CHUNK * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        size_t drawn = timing_below(&seed, n);
        draws[i] = keys[drawn];
        sums[i / TIMING_CHUNK] += next ? next[drawn] : 0;
    }
}

int timing_objects(const struct bid_design *design, void *table, uint64_t *keys, size_t n)
{
    for (size_t i = 0; design->object && i < n; i++)
        if (!(keys[i] = design->object(table, keys[i])))
            return TIMING_MEMORY;
    return TIMING_OK;
}

uint64_t timing_allocated(void)
{
#if defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
#endif
    return 0;
}

void timing_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void company_begin(struct timing_company *company)
{
    if (!company)
        return;
    atomic_fetch_add(&company->waiting, 1);
    while (atomic_load(&company->waiting) < company->threads)
        sched_yield();
}

/* ---------------------------------------------------------------------------------------------- chunks -- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The mean of the chunks that were not interrupted; of all where a chunk may be slow because of the company. */
static void judge_chunks(const uint32_t *times, size_t count, int all_count, uint32_t *sorted, struct timing *timing)
{
    memcpy(sorted, times, count * sizeof *times);
    qsort(sorted, count, sizeof *sorted, compare);
    double limit = all_count ? INFINITY : (double)sorted[count / 2] * TIMING_INTERRUPTED, sum = 0, all = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        all += times[i];
        if (times[i] < limit) {
            sum += times[i];
            kept++;
        }
    }
    timing->ns = sum / (double)kept / TIMING_CHUNK;
    timing->left_out = 1 - sum / all;
    timing->operations = count * TIMING_CHUNK;
}

static int partner_is_behind(struct timing_company *company)
{
    return company && atomic_load_explicit(&company->turns, memory_order_relaxed) < company->wanted;
}

static int time_chunks_beside(timing_chunk chunk, void *argument, uint64_t min_ns, struct timing_company *company,
                              struct timing *timing)
{
    uint32_t *times = malloc(2 * CHUNKS_MAX * sizeof *times);
    int status = times ? TIMING_OK : TIMING_MEMORY;
    size_t count = 0;
    uint64_t begin = now_ns(), last = begin, now = begin;
    while (status == TIMING_OK && count < CHUNKS_MAX &&
           (count < CHUNKS_MIN || now - begin < min_ns || partner_is_behind(company))) {
        status = chunk(argument);
        now = now_ns();
        times[count++] = now - last < UINT32_MAX ? (uint32_t)(now - last) : UINT32_MAX;
        last = now;
    }
    if (status == TIMING_OK)
        judge_chunks(times, count, company != NULL, times + CHUNKS_MAX, timing);
    free(times);
    return status;
}

static int warm_up(timing_chunk chunk, void *argument)
{
    int status = TIMING_OK;
    uint64_t begin = now_ns();
    for (size_t done = 0; done < TIMING_WARM && status == TIMING_OK && now_ns() - begin < TIMING_WARM_NS;
         done += TIMING_CHUNK)
        status = chunk(argument);
    return status;
}

int timing_chunks(timing_chunk chunk, void *argument, uint64_t min_ns, struct timing *timing)
{
    int status = warm_up(chunk, argument);
    return status == TIMING_OK ? time_chunks_beside(chunk, argument, min_ns, NULL, timing) : status;
}

/* --------------------------------------------------------------------------------------------- lookups -- */

struct drawing {
    const struct bid_design *design;
    void *table;
    const struct timing_draws *draws;
    size_t chunk;
};

static int draw_chunk(void *argument)
{
    struct drawing *drawing = argument;
    const struct timing_draws *draws = drawing->draws;
    size_t chunk = drawing->chunk++ % (draws->n / TIMING_CHUNK);
    uint64_t sum = drawing->design->hits(drawing->table, draws->keys + chunk * TIMING_CHUNK, TIMING_CHUNK);
    return !draws->sums || sum == draws->sums[chunk] ? TIMING_OK : TIMING_WRONG;
}

int timing_hits(const struct bid_design *design, void *table, const struct timing_draws *draws, uint64_t min_ns,
                struct timing_company *company, struct timing *timing)
{
    struct drawing drawing = {design, table, draws, 0};
    int status = warm_up(draw_chunk, &drawing);
    company_begin(company);
    uint64_t busy = design->busy ? design->busy(table) : 0;
    if (status == TIMING_OK)
        status = time_chunks_beside(draw_chunk, &drawing, min_ns, company, timing);
    timing->busy = design->busy ? design->busy(table) - busy : 0;
    return status;
}

struct chaining {
    const struct bid_design *design;
    void *table;
    uint64_t key;
    size_t steps;
};

static int chain_chunk(void *argument)
{
    struct chaining *chaining = argument;
    chaining->key = chaining->design->chain(chaining->table, chaining->key, TIMING_CHUNK);
    chaining->steps += TIMING_CHUNK;
    return TIMING_OK;
}

int timing_chain(const struct bid_design *design, void *table, const uint64_t *cycle, size_t n, uint64_t min_ns,
                 struct timing *timing)
{
    struct chaining chaining = {design, table, cycle[0], 0};
    int status = timing_chunks(chain_chunk, &chaining, min_ns, timing);
    return status == TIMING_OK && chaining.key != cycle[chaining.steps % n] ? TIMING_WRONG : status;
}

/* Bins of an eighth of a power of two. */
#define BINS 512

static unsigned bin_of(uint64_t ns)
{
    if (ns < 8)
        return (unsigned)ns;
    unsigned bits = 63 - (unsigned)__builtin_clzll(ns);
    return (bits - 2) * 8 + (unsigned)(ns >> (bits - 3) & 7);
}

static double bin_ns(unsigned bin)
{
    return bin < 8 ? bin : (double)((8 + (uint64_t)bin % 8) << (bin / 8 - 1));
}

int timing_latency(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                   struct timing_company *company, struct timing *timing)
{
    uint64_t bins[BINS] = {0}, most = 0, operations = 0, busy = 0, seed = 1;
    company_begin(company);
    uint64_t begin = now_ns(), last = begin;
    do { /* once at least, though the partner may have ended by now */
        size_t i = timing_below(&seed, n);
        struct bid_build_id id;
        uint64_t first;
        int status = design->lookup(table, keys[i], &id, NULL);
        uint64_t now = now_ns();
        memcpy(&first, id.bytes, sizeof first);
        if (status == RIVAL_BUSY)
            busy++;
        else if (status != BID_OK || first != next[i])
            return TIMING_WRONG;
        bins[bin_of(now - last)]++;
        most = now - last > most ? now - last : most;
        operations++;
        last = now;
    } while (!atomic_load_explicit(&company->stop, memory_order_relaxed));
    *timing = (struct timing){.operations = operations, .busy = busy, .most = (double)most};
    timing->ns = (double)(last - begin) / (double)operations;
    uint64_t above = 0;
    unsigned bin = BINS;
    while (bin > 0 && (above += bins[--bin]) <= operations / 1000)
        ;
    timing->p999 = bin_ns(bin);
    return TIMING_OK;
}

void timing_cost(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing_cost *cost)
{
    uint64_t slots = 0, records = 0;
    *cost = (struct timing_cost){.worst = keys[0]};
    for (size_t i = 0; i < n; i++) {
        struct bid_build_id id;
        struct bid_probe_cost one = {0, 0};
        design->lookup(table, keys[i], &id, &one);
        slots += one.slots;
        records += one.records;
        if (one.records > cost->most_records || (one.records == cost->most_records && one.slots > cost->most_slots))
            cost->worst = keys[i];
        cost->most_slots = one.slots > cost->most_slots ? one.slots : cost->most_slots;
        cost->most_records = one.records > cost->most_records ? one.records : cost->most_records;
    }
    cost->slots = (double)slots / (double)n;
    cost->records = (double)records / (double)n;
}

/* --------------------------------------------------------------------------------------------- updates -- */

/* A reader that was taken off its processor in the middle of a lookup holds up our table's frees, and it refuses to
 * resize before that reader comes back. */
static int insert_one(const struct bid_design *design, void *table, uint64_t key, uint64_t next)
{
    uint8_t id[BID_ID_NARROW];
    int status;
    timing_id(next, id);
    while ((status = design->insert(table, key, 0, id, sizeof id)) == BID_E_RETIRED)
        sched_yield();
    return status;
}

uint64_t timing_slow_ns = 60ull * 1000 * 1000 * 1000;

/* Gives up after timing_slow_ns: a table that has lost a resize gets slower and slower. */
static int insert_all(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next,
                      size_t n)
{
    uint64_t begin = now_ns();
    for (size_t i = 0; i < n; i++) {
        if (insert_one(design, table, keys[i], next[i]) != BID_OK)
            return TIMING_FAILED;
        if (i % TIMING_CHUNK == TIMING_CHUNK - 1 && now_ns() - begin > timing_slow_ns)
            return TIMING_SLOW;
    }
    return TIMING_OK;
}

static int remove_one(const struct bid_design *design, void *table, uint64_t key)
{
    int status;
    while ((status = design->remove(table, key)) == BID_E_RETIRED)
        sched_yield();
    return status;
}

static void time_whole(struct timing *timing, uint64_t begin, size_t n)
{
    *timing = (struct timing){.operations = n};
    timing->ns = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)n;
}

int timing_insert(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                  struct timing *timing)
{
    uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int status = insert_all(design, table, keys, next, n);
    time_whole(timing, begin, n);
    return status;
}

int timing_remove(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing)
{
    uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < n; i++)
        if (remove_one(design, table, keys[i]) != BID_OK)
            return TIMING_FAILED;
    time_whole(timing, begin, n);
    return TIMING_OK;
}

static int churn_slice(const struct bid_design *design, void *table, const uint64_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (insert_one(design, table, keys[i], keys[i]) != BID_OK)
            return TIMING_FAILED;
    for (size_t i = 0; i < n; i++)
        if (remove_one(design, table, keys[i]) != BID_OK)
            return TIMING_FAILED;
    return TIMING_OK;
}

int timing_churn(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing)
{
    uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int status = TIMING_OK;
    for (size_t i = 0; i < n && status == TIMING_OK; i += SLICE)
        status = churn_slice(design, table, keys + i, n - i < SLICE ? n - i : SLICE);
    time_whole(timing, begin, 2 * n);
    return status;
}

int timing_churn_partner(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                         struct timing_company *company)
{
    int status = TIMING_OK;
    size_t slices = n / SLICE;
    company_begin(company);
    for (size_t slice = 0; status == TIMING_OK && !atomic_load(&company->stop); slice = (slice + 1) % slices) {
        status = churn_slice(design, table, keys + slice * SLICE, SLICE);
        atomic_fetch_add(&company->turns, SLICE);
    }
    atomic_store(&company->wanted, 0); /* if this partner has failed, no thread may wait for its next turn */
    return status;
}

static int resize(const struct bid_design *design, void *table, size_t entries)
{
    int status;
    while ((status = design->reserve(table, entries)) == BID_E_RETIRED)
        sched_yield();
    while (status == BID_OK && (status = design->shrink(table)) == BID_E_RETIRED) {
        sched_yield();
        status = BID_OK;
    }
    return status == BID_OK ? TIMING_OK : TIMING_FAILED;
}

int timing_resize_partner(const struct bid_design *design, void *table, size_t entries, struct timing_company *company)
{
    int status = TIMING_OK;
    company_begin(company);
    while (status == TIMING_OK && !atomic_load(&company->stop)) {
        status = resize(design, table, 4 * entries);
        atomic_fetch_add(&company->turns, 1);
    }
    atomic_store(&company->wanted, 0); /* if this partner has failed, no thread may wait for its next turn */
    return status;
}

int timing_grow_partner(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next,
                        size_t n, struct timing_company *company)
{
    company_begin(company);
    int status = insert_all(design, table, keys, next, n);
    atomic_store(&company->stop, 1);
    return status;
}

static int answer_is(const struct bid_design *design, void *table, uint64_t key, uint64_t next)
{
    uint8_t expected[BID_ID_NARROW];
    struct bid_build_id id;
    timing_id(next, expected);
    return design->lookup(table, key, &id, NULL) == BID_OK && id.length == sizeof expected &&
           memcmp(id.bytes, expected, sizeof expected) == 0;
}

#define FILL_AT_ONCE 65536

int timing_fill(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                const uint64_t *absent)
{
    struct bid_build_id id;
    for (size_t i = 0, some; i < n; i += some) {
        some = n - i < FILL_AT_ONCE ? n - i : FILL_AT_ONCE;
        int status = insert_all(design, table, keys + i, next + i, some);
        if (status != TIMING_OK)
            return status;
        if (design->settle)
            design->settle(table); /* lookups are slow until the worker of the table has resized it */
    }
    for (size_t i = 0; i < n; i++)
        if (!answer_is(design, table, keys[i], next[i]) || design->lookup(table, absent[i], &id, NULL) != BID_ABSENT)
            return TIMING_WRONG;
    return TIMING_OK;
}

/* ---------------------------------------------------------------------------------------- into arrays -- */

int timing_into_arrays(const struct bid_design *design, void *table, const struct timing_draws *draws, int many,
                       uint8_t *ids, uint8_t *lengths, struct timing *timing)
{
    uint64_t begin = now_ns();
    size_t found = (many ? design->lookup_many : design->into_arrays)(table, draws->keys, draws->n, ids, lengths);
    *timing = (struct timing){.ns = (double)(now_ns() - begin) / (double)draws->n, .operations = draws->n};
    return found == draws->n ? TIMING_OK : TIMING_WRONG;
}
