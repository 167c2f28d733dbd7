/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Real-looking inode addresses, after a recording on Linux 6.18 with ext4: objects of 1,128 bytes, 14 to a slab of
 * 16 KiB, the inode 272 bytes into its object, slabs anywhere in the direct map, a third of them right after another.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define DIRECT_MAP 0xffff888100000000ull
#define SLAB_BYTES (16ull << 10)
#define SLAB_PLACES (1ull << 20) /* 16 GiB */
#define SLAB_OBJECTS 14
#define OBJECT_BYTES 1128
#define INODE_OFFSET 272

uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

size_t bench_below(uint64_t *state, size_t limit)
{
    return (size_t)((bench_random(state) >> 32) * (uint64_t)limit >> 32);
}

static void shuffle(uint64_t *values, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = bench_below(state, i);
        uint64_t value = values[i - 1];
        values[i - 1] = values[j];
        values[j] = value;
    }
}

/* A slab that is not taken yet. */
static uint64_t slab_choose(uint8_t *taken, uint64_t last, uint64_t *state)
{
    uint64_t place = (last + 1) % SLAB_PLACES;
    if (bench_below(state, 3) != 0)
        place = bench_below(state, SLAB_PLACES);
    while (taken[place])
        place = bench_below(state, SLAB_PLACES);
    taken[place] = 1;
    return place;
}

static void inodes_make(uint64_t *inodes, size_t n, uint64_t *state)
{
    if (n > SLAB_PLACES / 2 * SLAB_OBJECTS)
        bench_die("%zu inodes are more than the benchmark's range of addresses has room for", n);
    uint8_t *taken = bench_allocate(SLAB_PLACES);
    uint64_t slab = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % SLAB_OBJECTS == 0)
            slab = slab_choose(taken, slab, state);
        inodes[i] = DIRECT_MAP + slab * SLAB_BYTES + i % SLAB_OBJECTS * OBJECT_BYTES + INODE_OFFSET;
    }
    free(taken);
    shuffle(inodes, n, state);
}

/* next[i] is what follows present[i] on a random cycle. */
static void cycle_make(struct bench_keys *keys, uint64_t *state)
{
    uint64_t *order = bench_allocate(keys->n * sizeof *order);
    for (size_t i = 0; i < keys->n; i++)
        order[i] = i;
    shuffle(order, keys->n, state);
    for (size_t i = 0; i < keys->n; i++) {
        keys->cycle[i] = keys->present[order[i]];
        keys->next[order[i]] = keys->present[order[(i + 1) % keys->n]];
    }
    free(order);
}

static struct bench_draws *draws_make(const uint64_t *inodes, const uint64_t *next, size_t n, uint64_t *state)
{
    struct bench_draws *draws = bench_allocate(sizeof *draws);
    for (size_t i = 0; i < BENCH_DRAWS; i++) {
        size_t drawn = bench_below(state, n);
        draws->keys[i] = inodes[drawn];
        draws->sums[i / BENCH_CHUNK] += next ? next[drawn] : 0;
    }
    return draws;
}

struct bench_keys *bench_keys_make(size_t n, uint64_t seed)
{
    struct bench_keys *keys = bench_allocate(sizeof *keys);
    keys->n = n;
    keys->present = bench_allocate(2 * n * sizeof *keys->present);
    keys->absent = keys->present + n;
    keys->cycle = bench_allocate(n * sizeof *keys->cycle);
    keys->next = bench_allocate(n * sizeof *keys->next);
    inodes_make(keys->present, 2 * n, &seed);
    cycle_make(keys, &seed);
    keys->hits = draws_make(keys->present, keys->next, n, &seed);
    keys->misses = draws_make(keys->absent, NULL, n, &seed);
    return keys;
}

void bench_keys_free(struct bench_keys *keys)
{
    free(keys->present);
    free(keys->cycle);
    free(keys->next);
    free(keys->hits);
    free(keys->misses);
    free(keys);
}

void bench_id(uint64_t next, uint8_t id[BENCH_ID_BYTES])
{
    uint64_t words[3] = {next, ~next, next * 3};
    memcpy(id, words, BENCH_ID_BYTES);
}
