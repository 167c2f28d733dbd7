/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The platform of the models, in place of those of csrc/process but grace.c.
 *
 * Arrays come from malloc(), so that the model checker sees an access to memory that was freed, or that was never
 * written. A thread is known by a number that the model gives it. Pins are the fenced ones: C11 has no membarrier().
 */
#ifndef BID_PLATFORM_MODEL_H
#define BID_PLATFORM_MODEL_H

#include <assert.h>
#include <stdlib.h>

#include "pin.h"
#include "table.h"

#define MODEL_PAGE 32 /* bytes: one record, or the slot words of a bucket */

static _Thread_local uintptr_t model_thread;

uintptr_t bid_platform_thread(void)
{
    return model_thread;
}

void bid_platform_compiler_barrier(void)
{
}

void bid_platform_prefetch(const void *address)
{
    (void)address;
}

/* Every mapping is an array's, whose maker populates first the buckets, then the bitmap: slot words and bitmap are
 * zeroed then. Records are not, in places or elsewhere, for none may be read that nobody has written. */
static _Thread_local int model_zeroed_sections;

static void *model_map(void *context, size_t bytes, size_t present, size_t huge)
{
    (void)context, (void)present, (void)huge;
    model_zeroed_sections = 2;
    return malloc(bytes);
}

static int model_populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context, (void)lock;
    if (!model_zeroed_sections)
        return BID_OK;
    int buckets = model_zeroed_sections-- == 2;
    bid_word *words = address;
    for (size_t i = 0; i < bytes / sizeof *words; i++)
        if (!buckets || i % (BID_BUCKET_BYTES / sizeof *words) < BID_BUCKET_SLOTS)
            bid_store(&words[i], 0, BID_RELAXED);
    return BID_OK;
}

static void model_unmap(void *context, void **address, size_t bytes)
{
    (void)context, (void)bytes;
    free(*address);
    *address = NULL;
}

const struct bid_allocator bid_platform_allocator = {
    .map = model_map, .populate = model_populate, .unmap = model_unmap};

size_t bid_platform_page(void)
{
    return MODEL_PAGE;
}

static struct bid_pin_area model_pin_area;
static struct bid_pins model_pins = {
    .area = &model_pin_area, .fenced = MODEL_FENCED_PINS, .epoch = BID_PIN_EPOCH_FIRST};

int bid_platform_pins(int fenced, int lock, struct bid_pins **pins)
{
    (void)fenced, (void)lock;
    *pins = &model_pins;
    return BID_OK;
}

void bid_platform_barrier(const struct bid_pins *pins)
{
    (void)pins;
#ifdef MODEL_MEMBARRIER
    model_membarrier();
#endif
    atomic_thread_fence(BID_S_FENCE); /* (S) */
}

uint64_t bid_platform_random(void)
{
    return 0;
}

#endif
