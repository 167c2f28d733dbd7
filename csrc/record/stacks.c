/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The stacks of a recording. One thread uses them. */
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

#define BID_STACKS_START 1024ul

int bid_stacks_open(struct bid_stacks *stacks)
{
    *stacks = (struct bid_stacks){
        .room = BID_STACKS_START, .slots = 2 * BID_STACKS_START, .frame_room = 16 * BID_STACKS_START};
    stacks->stacks = calloc(stacks->room, sizeof *stacks->stacks);
    stacks->hashes = calloc(stacks->room, sizeof *stacks->hashes);
    stacks->frames = calloc(stacks->frame_room, sizeof *stacks->frames);
    stacks->places = calloc(stacks->slots, sizeof *stacks->places);
    return stacks->stacks && stacks->hashes && stacks->frames && stacks->places ? 0 : -1;
}

void bid_stacks_close(struct bid_stacks *stacks)
{
    free(stacks->stacks);
    free(stacks->hashes);
    free(stacks->frames);
    free(stacks->places);
    *stacks = (struct bid_stacks){0};
}

static uint64_t bid_stack_hash(const struct bid_sample *sample, const struct bid_recorded_frame *frames, uint32_t depth)
{
    uint64_t hash = sample->tgid;
    for (uint32_t i = 0; i < depth; i++) {
        hash = (hash ^ frames[i].address) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 32 ^ frames[i].file;
    }
    return hash * 0xbb67ae8584caa73bull;
}

static int bid_stack_is(const struct bid_stacks *stacks, uint32_t number, uint64_t hash,
                        const struct bid_sample *sample, const struct bid_recorded_frame *frames, uint32_t depth)
{
    const struct bid_recorded_stack *stack = &stacks->stacks[number - 1];
    return stacks->hashes[number - 1] == hash && stack->tgid == sample->tgid && stack->depth == depth &&
           memcmp(stack->command, sample->command, sizeof stack->command) == 0 &&
           memcmp(stacks->frames + stack->first, frames, depth * sizeof *frames) == 0;
}

static uint64_t bid_stacks_free_place(const struct bid_stacks *stacks, uint64_t hash)
{
    uint64_t at = hash >> 32;
    while (stacks->places[at & (stacks->slots - 1)])
        at++;
    return at & (stacks->slots - 1);
}

/* Twice the room for stacks. After an error all is as it was. */
static int bid_stacks_grow(struct bid_stacks *stacks)
{
    uint32_t *places = calloc(2 * stacks->slots, sizeof *places);
    void *more = realloc(stacks->stacks, 2 * stacks->room * sizeof *stacks->stacks);
    if (more)
        stacks->stacks = more;
    void *hashes = realloc(stacks->hashes, 2 * stacks->room * sizeof *stacks->hashes);
    if (hashes)
        stacks->hashes = hashes;
    if (!places || !more || !hashes) {
        free(places);
        return -1;
    }
    free(stacks->places);
    stacks->places = places;
    stacks->slots *= 2;
    stacks->room *= 2;
    for (uint64_t i = 0; i < stacks->count; i++)
        stacks->places[bid_stacks_free_place(stacks, stacks->hashes[i])] = (uint32_t)i + 1;
    return 0;
}

static int bid_stacks_room(struct bid_stacks *stacks, uint32_t depth)
{
    if (stacks->count == stacks->room && bid_stacks_grow(stacks))
        return -1;
    if (stacks->frame_count + depth > stacks->frame_room) {
        void *more = realloc(stacks->frames, 2 * stacks->frame_room * sizeof *stacks->frames);
        if (!more)
            return -1;
        stacks->frames = more;
        stacks->frame_room *= 2;
    }
    return 0;
}

void bid_stacks_add(struct bid_stacks *stacks, const struct bid_sample *sample, const struct bid_recorded_frame *frames,
                    uint32_t depth)
{
    uint64_t hash = bid_stack_hash(sample, frames, depth);
    for (uint64_t at = hash >> 32; stacks->places[at & (stacks->slots - 1)]; at++) {
        uint32_t number = stacks->places[at & (stacks->slots - 1)];
        if (bid_stack_is(stacks, number, hash, sample, frames, depth)) {
            stacks->stacks[number - 1].count++;
            return;
        }
    }
    if (bid_stacks_room(stacks, depth)) {
        stacks->lost++;
        return;
    }
    struct bid_recorded_stack *stack = &stacks->stacks[stacks->count];
    *stack =
        (struct bid_recorded_stack){.count = 1, .first = stacks->frame_count, .depth = depth, .tgid = sample->tgid};
    memcpy(stack->command, sample->command, sizeof stack->command);
    memcpy(stacks->frames + stack->first, frames, depth * sizeof *frames);
    stacks->hashes[stacks->count] = hash;
    stacks->frame_count += depth;
    stacks->places[bid_stacks_free_place(stacks, hash)] = (uint32_t)++stacks->count;
}
