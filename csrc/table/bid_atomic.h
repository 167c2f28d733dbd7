/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The atomic accesses of the table, and their orders by the letters of csrc/README.md.
 *
 * Each order has a name of its own. So a model checker can be given the same source with one of these lines weakened,
 * and must find the fault. A kernel build maps the same names to smp_load_acquire() and its kin: see
 * kernel/atomic_kernel.h.
 */
#ifndef BID_ATOMIC_H
#define BID_ATOMIC_H

#ifdef __KERNEL__
#include "atomic_kernel.h"
#else
#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic(uint64_t) bid_word;
#endif

/* (P) a slot word publishes its record; with FROZEN also the future array */
#define BID_P_RELEASE memory_order_release
#define BID_P_ACQUIRE memory_order_acquire
/* (F) the future word publishes an array */
#define BID_F_RELEASE memory_order_release
#define BID_F_ACQUIRE memory_order_acquire
/* (D) a done bit says that a chunk is frozen and copied */
#define BID_D_RELEASE memory_order_release
#define BID_D_ACQUIRE memory_order_acquire
/* (H) the head word moves on when every chunk is done, gets LEFT, and loses RESEEDED */
#define BID_H_RELEASE memory_order_release
#define BID_H_ACQUIRE memory_order_acquire
/* (E) the epoch and the resizes are counted up after the head moved; who reads the new count sees the new head */
#define BID_E_RELEASE memory_order_release
#define BID_E_ACQUIRE memory_order_acquire
/* (U) what a reader read, it read before it unpinned, and that before the memory is freed */
#define BID_U_RELEASE memory_order_release
#define BID_U_ACQUIRE memory_order_acquire
/* (S) pin, then head: the store of a pin comes before the load of the head (Dekker, with the reclaimer) */
#define BID_S_FENCE memory_order_seq_cst
/* (L) the life of an array descriptor: its fields are written between two of its states */
#define BID_L_RELEASE memory_order_release
#define BID_L_ACQUIRE memory_order_acquire
/* (C) the count of entries is up before one is there, and down after it has gone: see bid_entry_admit() */
#define BID_C_RELEASE memory_order_release
#define BID_C_ACQUIRE memory_order_acquire

/* (G) a grace period of readers elsewhere was observed: their reads came before the memory is freed */
#define BID_G_RELEASE memory_order_release
#define BID_G_ACQUIRE memory_order_acquire
/* (R) a block of a region's memory is given back before it is given out again */
#define BID_R_RELEASE memory_order_release
#define BID_R_ACQUIRE memory_order_acquire

#ifndef __KERNEL__
#define bid_load(pointer, order) atomic_load_explicit((pointer), (order))
#define bid_store(pointer, value, order) atomic_store_explicit((pointer), (value), (order))
#define bid_add(pointer, value, order) atomic_fetch_add_explicit((pointer), (value), (order))
#define bid_sub(pointer, value, order) atomic_fetch_sub_explicit((pointer), (value), (order))
#define bid_or(pointer, value, order) atomic_fetch_or_explicit((pointer), (value), (order))

/* One compare-and-swap: true if *pointer was *expected and is now desired, else *expected is what it was. What a
 * failed one read is used as a hint only, or read again with an order of its own. */
#define bid_cas(pointer, expected, desired, order)                                                                     \
    atomic_compare_exchange_strong_explicit((pointer), (expected), (desired), (order), memory_order_relaxed)
#endif

/* Statistics and hints: nothing is concluded from their order. */
#define BID_RELAXED memory_order_relaxed

#endif
