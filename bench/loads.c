/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Loads from memory, beside which a lookup is judged: over as many bytes as the table has, a cache line each.
 * Dependent: each line holds the address of the next one of a random cycle through all. Independent: the addresses come
 * from an array that is walked in order, as the keys of the lookups do.
 */
#include "bench.h"

#include <stdlib.h>
#include <sys/mman.h>

struct line {
    _Alignas(64) struct line *next;
};

struct bench_loads {
    struct line *lines, *at;
    size_t bytes, drawn;
    struct line **draws;
};

struct bench_loads *bench_loads_make(size_t bytes, int huge, uint64_t seed)
{
    struct bench_loads *loads = bench_allocate(sizeof *loads);
    size_t n = bytes / sizeof *loads->lines;
    loads->bytes = bytes;
    loads->lines = bench_map(bytes, huge);
    for (size_t i = 0; i < n; i++)
        loads->lines[i].next = &loads->lines[i];
    for (size_t i = n - 1; i > 0; i--) { /* Sattolo: one cycle through all */
        size_t j = bench_below(&seed, i);
        struct line *next = loads->lines[i].next;
        loads->lines[i].next = loads->lines[j].next;
        loads->lines[j].next = next;
    }
    loads->at = loads->lines;
    loads->draws = bench_allocate(BENCH_DRAWS * sizeof *loads->draws);
    for (size_t i = 0; i < BENCH_DRAWS; i++)
        loads->draws[i] = &loads->lines[bench_below(&seed, n)];
    return loads;
}

void bench_loads_free(struct bench_loads *loads)
{
    munmap(loads->lines, (loads->bytes + (2u << 20) - 1) / (2u << 20) * (2u << 20));
    free(loads->draws);
    free(loads);
}

static void load_independent(void *argument)
{
    struct bench_loads *loads = argument;
    struct line **draws = loads->draws + loads->drawn;
    uintptr_t sum = 0;
    for (size_t i = 0; i < BENCH_CHUNK; i++)
        sum += (uintptr_t)draws[i]->next;
    __asm__ volatile("" : : "r"(sum));
    loads->drawn = (loads->drawn + BENCH_CHUNK) % BENCH_DRAWS;
}

static void load_dependent(void *argument)
{
    struct bench_loads *loads = argument;
    struct line *at = loads->at;
    for (size_t i = 0; i < BENCH_CHUNK; i++)
        at = at->next;
    __asm__ volatile("" : : "r"(at));
    loads->at = at;
}

double bench_loads_independent(struct bench_loads *loads, uint64_t batch_ns)
{
    return bench_time_chunks(load_independent, loads, batch_ns, NULL, NULL);
}

double bench_loads_dependent(struct bench_loads *loads, uint64_t batch_ns)
{
    return bench_time_chunks(load_dependent, loads, batch_ns, NULL, NULL);
}
