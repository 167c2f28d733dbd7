/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The pins of a process: read-side sections without registration and without TLS.
 *
 * A thread has a pin slot for life, found by its thread pointer. A later thread with the thread pointer of a dead one
 * adopts its slot, so thread exit needs no hook. The slot's word holds an epoch and a nesting depth, and only its owner
 * and the handlers that interrupt it write it. A handler leaves the word as it found it, so a plain load and a plain
 * store are enough, wherever the handler came in between.
 *
 * A thread whose window of the table is full takes a temporary slot for each pin, by compare-and-swap; if those are
 * all taken too, it counts itself in `overflow`. The three forms give the same protection; only their cost differs.
 *
 * Progress of pin and unpin: wait-free, at most BID_PIN_WINDOW + BID_PIN_TEMPORARY slots.
 * Ordering: (S) the store of a pin comes before the load of the head. A plain pin leaves that to the reclaimer's
 * membarrier(); a fenced one has a fence of its own. (E) and (U): see csrc/README.md.
 */
#ifndef BID_PINS_H
#define BID_PINS_H

#include "../table/bid_atomic.h"
#include "../table/platform.h"

#ifndef BID_PIN_SLOTS
#define BID_PIN_SLOTS 1024 /* a power of two */
#endif
#ifndef BID_PIN_WINDOW
#define BID_PIN_WINDOW 16
#endif
#ifndef BID_PIN_TEMPORARY
#define BID_PIN_TEMPORARY 128
#endif
#ifndef BID_PIN_OVERFLOWS
#define BID_PIN_OVERFLOWS 64
#endif

#define BID_PIN_DEPTH_BITS 16
#define BID_PIN_DEPTH_MASK 0xffffull
#define BID_PIN_EPOCH_ONE (1ull << BID_PIN_DEPTH_BITS)
#define BID_PIN_EPOCH_FIRST (BID_PIN_EPOCH_ONE | 1)

struct bid_pin_slot {
    _Alignas(64) _Atomic(uintptr_t) owner; /* a thread pointer; 0: free */
    bid_word word;                         /* epoch << BID_PIN_DEPTH_BITS | depth; without depth: not pinned */
};

/* Readers write this, so it lies in memory that a fork wipes: it is never write-protected by one. */
struct bid_pin_area {
    struct bid_pin_slot slots[BID_PIN_SLOTS + BID_PIN_TEMPORARY]; /* the last ones are the temporary ones */
    bid_word overflow[BID_PIN_OVERFLOWS]; /* by thread: a fork takes over that of the thread that forks */
};

/* Readers only read this. */
struct bid_pins {
    struct bid_pin_area *area;
    int fenced;
    /* What an outermost pin writes into its slot: the epoch, counted up after each move of a head (E), and a depth of
     * 1. */
    bid_word epoch;
    bid_word forks;  /* that lie behind this process, since its first ancestor made these pins */
    bid_word forked; /* the epoch of the last one: pins of a later one were taken in this process */
};

/* What a pin took, for unpin: the slot and the word that it found there; or NULL and the number of the overflow's
 * counter. */
struct bid_pin {
    struct bid_pin_slot *slot;
    uint64_t before;
};

static inline uint64_t bid_pin_slot_number(uintptr_t thread)
{
    return (uint64_t)thread * 0x9e3779b97f4a7c15ull >> 32 & (BID_PIN_SLOTS - 1);
}

/* Nested pins keep the epoch of the outermost. */
static inline struct bid_pin bid_pin_enter(const struct bid_pins *pins, struct bid_pin_slot *slot)
{
    uint64_t before = bid_load(&slot->word, BID_RELAXED), word = before + 1;
    if (__builtin_expect(!(before & BID_PIN_DEPTH_MASK), 1))
        word = bid_load(&pins->epoch, BID_E_ACQUIRE); /* (E) pairs with bid_epoch_pass() */
    bid_store(&slot->word, word, BID_U_RELEASE);      /* a new epoch also says that older reads are done (U) */
    return (struct bid_pin){slot, before};
}

static inline void bid_pin_leave(struct bid_pin pin)
{
    bid_store(&pin.slot->word, pin.before, BID_U_RELEASE); /* (U) pairs with bid_oldest_pin() */
}

/* The epoch of what is retired now, one lower than that of all pins to come; in the unit of bid_oldest_pin(). */
static inline uint64_t bid_epoch_pass(struct bid_pins *pins)
{
    return bid_add(&pins->epoch, BID_PIN_EPOCH_ONE, BID_E_RELEASE) >> BID_PIN_DEPTH_BITS; /* (E) with bid_pin_enter() */
}

/* The counter of the overflow for a thread. */
static inline uint64_t bid_pin_overflow(uintptr_t thread)
{
    return bid_pin_slot_number(thread) % BID_PIN_OVERFLOWS;
}

/* The first slot of this thread's window. */
static inline struct bid_pin_slot *bid_pin_first(struct bid_pin_slot *slots)
{
    return &slots[bid_pin_slot_number(bid_platform_thread())];
}

/* The plain pin of a thread whose slot is the first of its window; without a slot if it is not that simple. `slots` is
 * NULL where lookups take the general form. */
static inline struct bid_pin bid_pin_plain(const struct bid_pins *pins, struct bid_pin_slot *slots)
{
    struct bid_pin_slot *slot = slots ? bid_pin_first(slots) : NULL;
    if (__builtin_expect(!slot || bid_load(&slot->owner, BID_RELAXED) != bid_platform_thread(), 0))
        return (struct bid_pin){NULL, 0};
    struct bid_pin pin = bid_pin_enter(pins, slot);
    bid_platform_compiler_barrier(); /* (S) the other half is bid_platform_barrier() in bid_pins_over() */
    return pin;
}

/* The general form: pin_forms.h, in the object file of lookup.c. */
struct bid_pin bid_pin(struct bid_pins *pins);
void bid_unpin(struct bid_pins *pins, struct bid_pin pin);

/* The pin of an update, which in a kernel may sleep with it where it may allocate. */
static inline struct bid_pin bid_pin_update(struct bid_pins *pins, int may_sleep)
{
    (void)may_sleep;
    return bid_pin(pins);
}

static inline void bid_unpin_update(struct bid_pins *pins, struct bid_pin pin)
{
    bid_unpin(pins, pin);
}

/* In grace.c: the lowest epoch of a pin; 0 if a reader is among the overflow, which has no epochs. */
uint64_t bid_oldest_pin(const struct bid_pins *pins);

/* In pins.c: on return every thread that is running has executed a full barrier since the call (membarrier()); for
 * fenced pins a full fence in the caller is enough. */
void bid_platform_barrier(const struct bid_pins *pins);

/* In grace.c: what has a lower epoch than this is out of every reader's reach. */
uint64_t bid_pins_over(const struct bid_pins *pins);

#endif
