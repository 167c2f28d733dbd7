/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The atomic accesses of the table in a kernel: what the letters of bid_atomic.h mean in the Linux kernel memory model.
 *
 *   relaxed load, store   READ_ONCE(), WRITE_ONCE()
 *   acquire load          smp_load_acquire()
 *   release store         smp_store_release()
 *   read-modify-writes    atomic64_fetch_*() and try_cmpxchg(), with the suffix of their order
 *   the fence of (S)      smp_mb()
 *
 * _Atomic(type) is a structure here, so that the compiler refuses an access that does not go through one of these
 * macros. Orders are constants, and an order that an access does not have does not compile.
 */
#ifndef BID_ATOMIC_KERNEL_H
#define BID_ATOMIC_KERNEL_H

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>

#include <stdint.h>

#ifndef CONFIG_64BIT
#error "the table needs 64-bit words that are read and written at once"
#endif

#define _Atomic(type)                                                                                                  \
    struct {                                                                                                           \
        type word;                                                                                                     \
    }

typedef _Atomic(uint64_t) bid_word;

#define memory_order_relaxed 0
#define memory_order_acquire 1
#define memory_order_release 2
#define memory_order_acq_rel 3
#define memory_order_seq_cst 4

#define bid_order_is(condition) BUILD_BUG_ON_MSG(!(condition), "this access does not come with this order")

#define bid_load(pointer, order)                                                                                       \
    ({                                                                                                                 \
        bid_order_is((order) == memory_order_relaxed || (order) == memory_order_acquire);                              \
        (order) == memory_order_acquire ? smp_load_acquire(&(pointer)->word) : READ_ONCE((pointer)->word);             \
    })

#define bid_store(pointer, value, order)                                                                               \
    do {                                                                                                               \
        bid_order_is((order) == memory_order_relaxed || (order) == memory_order_release);                              \
        if ((order) == memory_order_release)                                                                           \
            smp_store_release(&(pointer)->word, value);                                                                \
        else                                                                                                           \
            WRITE_ONCE((pointer)->word, value);                                                                        \
    } while (0)

#define bid_atomic64(pointer)                                                                                          \
    ({                                                                                                                 \
        BUILD_BUG_ON(sizeof((pointer)->word) != sizeof(atomic64_t));                                                   \
        (atomic64_t *)&(pointer)->word;                                                                                \
    })

/* Additions, subtractions and the like: they return the word of before. */
#define bid_fetch(name, pointer, value, order)                                                                         \
    ((uint64_t)((order) == memory_order_relaxed                                                                        \
                    ? name##_relaxed((s64)(value), bid_atomic64(pointer))                                              \
                    : ((order) == memory_order_acquire                                                                 \
                           ? name##_acquire((s64)(value), bid_atomic64(pointer))                                       \
                           : ((order) == memory_order_release ? name##_release((s64)(value), bid_atomic64(pointer))    \
                                                              : name((s64)(value), bid_atomic64(pointer))))))

#define bid_add(pointer, value, order) bid_fetch(atomic64_fetch_add, pointer, value, order)
#define bid_sub(pointer, value, order) bid_fetch(atomic64_fetch_sub, pointer, value, order)
#define bid_or(pointer, value, order) bid_fetch(atomic64_fetch_or, pointer, value, order)

#define bid_cas(pointer, expected, desired, order)                                                                     \
    ((order) == memory_order_relaxed                                                                                   \
         ? try_cmpxchg_relaxed(&(pointer)->word, expected, desired)                                                    \
         : ((order) == memory_order_acquire                                                                            \
                ? try_cmpxchg_acquire(&(pointer)->word, expected, desired)                                             \
                : ((order) == memory_order_release ? try_cmpxchg_release(&(pointer)->word, expected, desired)          \
                                                   : try_cmpxchg(&(pointer)->word, expected, desired))))

#endif
