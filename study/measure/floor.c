/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* See floor.h. */
#define _GNU_SOURCE
#include "floor.h"

#include "chunks.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE (2ull << 20)
#define LINE 64

/* ----------------------------------------------------------------------------------------------- floor -- */

struct timing_array {
    char *memory;
    size_t bytes, lines, drawn;
    void **at;
    void **draws[1024 * TIMING_CHUNK];
};

struct timing_array *timing_array_create(size_t bytes, int huge, uint64_t seed)
{
    struct timing_array *array = malloc(sizeof *array);
    if (!array)
        return NULL;
    array->bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    array->lines = bytes / LINE;
    array->memory = mmap(NULL, array->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (array->memory == MAP_FAILED || array->lines < 2) {
        free(array);
        return NULL;
    }
    madvise(array->memory, array->bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t i = 0; i < array->lines; i++)
        *(void **)(array->memory + i * LINE) = array->memory + i * LINE;
    for (size_t i = array->lines - 1; i > 0; i--) { /* Sattolo: one cycle through all */
        void **a = (void **)(array->memory + i * LINE), **b = (void **)(array->memory + timing_below(&seed, i) * LINE);
        void *next = *a;
        *a = *b;
        *b = next;
    }
    for (size_t i = 0; i < sizeof array->draws / sizeof array->draws[0]; i++)
        array->draws[i] = (void **)(array->memory + timing_below(&seed, array->lines) * LINE);
    array->at = (void **)array->memory;
    array->drawn = 0;
    return array;
}

void timing_array_destroy(struct timing_array *array)
{
    munmap(array->memory, array->bytes);
    free(array);
}

static int load_independent(void *argument)
{
    struct timing_array *array = argument;
    void ***draws = array->draws + array->drawn;
    uintptr_t sum = 0;
    for (size_t i = 0; i < TIMING_CHUNK; i++)
        sum += (uintptr_t)*draws[i];
    __asm__ volatile("" : : "r"(sum));
    array->drawn = (array->drawn + TIMING_CHUNK) % (sizeof array->draws / sizeof array->draws[0]);
    return TIMING_OK;
}

static int load_dependent(void *argument)
{
    struct timing_array *array = argument;
    void **at = array->at;
    for (size_t i = 0; i < TIMING_CHUNK; i++)
        at = *at;
    __asm__ volatile("" : : "r"(at));
    array->at = at;
    return TIMING_OK;
}

int timing_array_loads(struct timing_array *array, uint64_t min_ns, struct timing *timing)
{
    return timing_chunks(load_independent, array, min_ns, timing);
}

int timing_array_chain(struct timing_array *array, uint64_t min_ns, struct timing *timing)
{
    return timing_chunks(load_dependent, array, min_ns, timing);
}

void timing_array_draws(const struct timing_array *array, uint64_t *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++)
        addresses[i] = (uint64_t)(uintptr_t)array->draws[i];
}

/* --------------------------------------------------------------------------------------- loaded objects -- */

uint64_t timing_loaded_start(uint64_t address)
{
#ifdef DLFO_STRUCT_HAS_EH_DBASE /* of the header that has _dl_find_object() */
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)address, &found) == 0)
        return (uint64_t)(uintptr_t)found.dlfo_map_start;
#endif
    (void)address;
    return 0;
}

struct finding {
    const struct timing_draws *draws;
    size_t chunk;
};

static int find_chunk(void *argument)
{
    struct finding *finding = argument;
    size_t chunk = finding->chunk++ % (finding->draws->n / TIMING_CHUNK);
    const uint64_t *addresses = finding->draws->keys + chunk * TIMING_CHUNK;
    uint64_t sum = 0;
    for (size_t i = 0; i < TIMING_CHUNK; i++)
        sum += timing_loaded_start(addresses[i]);
    return sum == finding->draws->sums[chunk] ? TIMING_OK : TIMING_WRONG;
}

int timing_loaded(const struct timing_draws *draws, uint64_t min_ns, struct timing *timing)
{
    struct finding finding = {draws, 0};
    return timing_chunks(find_chunk, &finding, min_ns, timing);
}
