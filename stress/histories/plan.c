/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "plan.h"

#include "../common/unmix.h"

#include <string.h>

#define GENERATIONS 3
#define KEY_BYTES 1128       /* between two keys: the size of an inode */
#define BACKGROUND_KEY 10000 /* the number of the first key that is not in question */

static uint64_t mix(uint64_t z) /* splitmix64's finalizer */
{
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = mix(*random);
    return (uint32_t)(*random >> 32) % below;
}

/* ------------------------------------------------------------------------------------------------- keys -- */

uint64_t plan_key(const struct plan *plan, uint32_t key)
{
    if (plan->colliding) /* the top half of a hash chooses the bucket */
        return unmix(plan->first_key << 32 | key, plan->options.seed);
    return plan->first_key + (uint64_t)key * KEY_BYTES;
}

uint64_t plan_background_key(const struct plan *plan, uint64_t number)
{
    return plan->first_key + (BACKGROUND_KEY + number) * KEY_BYTES;
}

/* ------------------------------------------------------------------------------------------- build IDs -- */

/* The number, and then bytes that depend on it and on the key, to the end: half of one ID and half of another is
 * none. */
unsigned plan_id(const struct plan *plan, uint32_t key, uint32_t number, uint8_t bytes[BID_ID_MAX])
{
    if (number == HISTORY_NO_BUILD_ID)
        return 0;
    unsigned length = number % 3 == 0 ? plan->longest : BID_ID_NARROW;
    for (unsigned i = 0; i < length; i += 4) {
        uint32_t word = (uint32_t)mix((uint64_t)key << 40 ^ (uint64_t)i << 32 ^ number);
        memcpy(bytes + i, i ? &word : &number, 4);
    }
    return length;
}

uint32_t plan_id_number(const struct plan *plan, uint32_t key, const struct bid_build_id *id)
{
    uint8_t bytes[BID_ID_MAX];
    uint32_t number = HISTORY_NO_BUILD_ID;
    if (!id->length)
        return number;
    memcpy(&number, id->bytes, sizeof number);
    if (number == HISTORY_NO_BUILD_ID || plan_id(plan, key, number, bytes) != id->length ||
        memcmp(bytes, id->bytes, id->length) != 0)
        return HISTORY_TORN;
    return number;
}

/* -------------------------------------------------------------------------------------------- operations -- */

/* What a thread does most: update. A third looks up. */
static enum history_kind draw_kind(uint64_t *random)
{
    static const uint8_t kinds[] = {
        HISTORY_LOOKUP,
        HISTORY_LOOKUP,
        HISTORY_LOOKUP_GENERATION,
        HISTORY_INSERT,
        HISTORY_INSERT,
        HISTORY_REPLACE,
        HISTORY_UPSERT,
        HISTORY_REMOVE,
        HISTORY_REMOVE,
        HISTORY_LOOKUP,
        HISTORY_REMOVE_GENERATION,
        HISTORY_INSERT_NMI,
        HISTORY_REMOVE_NMI,
        HISTORY_INSERT_MANY,
        HISTORY_LOOKUP_COST,
        HISTORY_LOOKUP_MANY,
        HISTORY_LOOKUP_MANY,
        HISTORY_ITERATE,
        HISTORY_KEYS,
    };
    return kinds[draw(random, sizeof kinds)];
}

static enum history_kind draw_handler_kind(uint64_t *random)
{
    static const uint8_t kinds[] = {
        HISTORY_LOOKUP,      HISTORY_LOOKUP,  HISTORY_LOOKUP_GENERATION, HISTORY_INSERT_NMI, HISTORY_REMOVE_NMI,
        HISTORY_LOOKUP_COST, HISTORY_ITERATE, HISTORY_LOOKUP_MANY,       HISTORY_INSERT_NMI, HISTORY_REMOVE_NMI,
    };
    return kinds[draw(random, sizeof kinds)];
}

static struct plan_step draw_operation(const struct plan *plan, uint64_t *random, enum history_kind kind, uint32_t *ids)
{
    uint32_t id = draw(random, 8) ? ++*ids : HISTORY_NO_BUILD_ID;
    uint32_t key = draw(random, plan->keys), generation = 1 + draw(random, GENERATIONS);
    if (kind == HISTORY_INSERT_MANY)
        generation = 0; /* bid_insert_many() knows no other */
    return (struct plan_step){.op = {.key = key, .kind = kind, .generation = generation, .id = id}};
}

/* Lookups and updates take some dozens to some hundreds of instructions, a step of a resize up to thousands. */
static uint32_t draw_trap(uint64_t *random)
{
    return 1 + draw(random, draw(random, 8) ? 120 : 500);
}

/* One step in four forces a resize, or moves one on. */
static struct plan_step draw_step(const struct plan *plan, uint64_t *random, uint32_t *ids)
{
    static const uint8_t works[] = {PLAN_FILL,   PLAN_FILL,   PLAN_DRAIN,  PLAN_RESERVE,
                                    PLAN_SHRINK, PLAN_SHRINK, PLAN_RECLAIM};
    struct plan_step step = draw_operation(plan, random, draw_kind(random), ids);
    if (draw(random, 4) == 0) {
        step.work = works[draw(random, sizeof works)];
        step.amount = 1 + draw(random, step.work == PLAN_RESERVE ? 600 : 12);
    }
    if (draw(random, 32) == 0)
        step.trap_after = draw_trap(random);
    step.stand = draw(random, 4) ? 1 + draw(random, 24) : 0;
    step.await = draw(random, 4) != 0;
    step.kick = draw(random, 4) == 0;
    return step;
}

/* ----------------------------------------------------------------------------------------------- tables -- */

/* Tables are small, so that a resize begins soon and ends soon: after one update in the smallest, after some dozens in
 * others. */
static struct bid_options draw_options(uint64_t *random)
{
    static const uint32_t entries[] = {1, 8, 30, 100, 300, 300, 300, 0}, sizes[] = {BID_ID_NARROW, BID_ID_MAX, 33, 0};
    struct bid_options options = {
        .size = sizeof options,
        .expected_entries = entries[draw(random, 8)],
        .id_size = draw(random, 2) ? BID_ID_NARROW : sizes[draw(random, 4)],
        .seed = *random | 1,
        .flags = BID_FIXED_SEED | (draw(random, 4) ? 0 : BID_FENCED_PINS),
    };
    if (draw(random, 8) == 0)
        options.flags &= ~(uint32_t)BID_FIXED_SEED, options.seed = 0;
    if (draw(random, 16) == 0)
        options.flags |= BID_MLOCK; /* see recorder.c for where memory may not be locked */
    if (draw(random, 6) == 0)       /* then the table refuses some inserts */
        options.max_entries = options.expected_entries + draw(random, 400) + 1;
    if (draw(random, 6) == 0) /* then it refuses some updates beside a reader */
        options.retired_limit = 1 + (uint64_t)draw(random, 64) * 1024;
    return options;
}

/* Plans a resize that begins in the middle of an update, which may have looked for a future array when there was none
 * yet. */
static void plan_meeting(struct plan *plan, uint64_t *random)
{
    static const uint8_t updates[] = {HISTORY_INSERT, HISTORY_REPLACE, HISTORY_UPSERT, HISTORY_REMOVE};
    struct plan_step *first = &plan->step[0][0];
    first->work = PLAN_RECORDED;
    first->op.kind = updates[draw(random, sizeof updates)];
    first->trap_after = draw_trap(random);
    first->stand = 8 + draw(random, 24);
    first->await = 0;
    for (uint32_t thread = 1; thread < plan->threads; thread++)
        plan->step[thread][0] = (struct plan_step){.work = PLAN_FILL, .amount = 8 + draw(random, 8), .await = 1};
}

void plan_make(struct plan *plan, uint64_t seed, uint64_t number)
{
    uint64_t random = mix(seed) ^ number;
    uint32_t ids = 0;
    memset(plan, 0, sizeof *plan);
    plan->options = draw_options(&random);
    plan->longest = plan->options.id_size ? plan->options.id_size : BID_ID_NARROW;
    plan->first_key = 0xffff888100000000ull + (uint64_t)draw(&random, 1u << 24) * 64;
    plan->colliding = draw(&random, 3) == 0;
    plan->threads = 2 + draw(&random, PLAN_THREADS - 1);
    plan->keys = 1 + draw(&random, PLAN_KEYS);
    plan->background = draw(&random, 40);
    plan->start = draw(&random, PLAN_STARTS);
    for (uint32_t key = 0; key < plan->keys; key++) {
        plan->before[key] = draw_operation(plan, &random, draw(&random, 3) ? HISTORY_INSERT : HISTORY_REMOVE, &ids);
        plan->before[key].op.key = key;
    }
    for (uint32_t thread = 0; thread < plan->threads; thread++) {
        for (uint32_t i = 0; i < PLAN_STEPS; i++)
            plan->step[thread][i] = draw_step(plan, &random, &ids);
        for (uint32_t i = 0; i < PLAN_HANDLER_STEPS; i++)
            plan->handler[thread][i] = draw_operation(plan, &random, draw_handler_kind(&random), &ids);
    }
    if (plan->start == PLAN_BEFORE_RESIZE)
        plan_meeting(plan, &random);
}
