/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Plain pins and membarrier(). A running thread executes a full fence somewhere between two of its instructions, and
 * the caller of membarrier() goes on after that. The model checker chooses the atomic load of the reader before which
 * the fence is.
 */
#ifndef BID_MODEL_MEMBARRIER_H
#define BID_MODEL_MEMBARRIER_H

#define MODEL_MEMBARRIER
#include "model.h"

#include <stdbool.h>

#include <genmc.h>

static _Atomic(int) requested, acknowledged;
static _Thread_local int interruptible;

static void model_interruption(void)
{
    if (!interruptible || !atomic_load_explicit(&requested, memory_order_relaxed))
        return;
    interruptible = 0;
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&acknowledged, 1, memory_order_relaxed);
}

static void model_membarrier(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&requested, 1, memory_order_relaxed);
    __VERIFIER_assume(atomic_load_explicit(&acknowledged, memory_order_relaxed));
}

/* The one thread that a barrier reaches. */
static void interruptible_begin(void)
{
    interruptible = 1;
}

static void interruptible_end(void) /* another thread runs on its processor */
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&acknowledged, 1, memory_order_relaxed);
}

#define READER 2

static void *interruptible_reader(void *unused)
{
    model_enter(READER);
    interruptible_begin();
    assert(model_lookup(7) == 1);
    interruptible_end();
    return unused;
}

#endif
