/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Pins in a kernel. The table has none of its own there, because the kernel has RCU.
 *
 * A lookup disables preemption. That makes it a reader of RCU in every context, in an NMI as well, because the kernel
 * tells RCU of an NMI before its handlers run. An update that may allocate may sleep with its pin, so it is a reader of
 * SRCU. An update that must not allocate is a reader of RCU like a lookup. Retired arrays are freed after a grace
 * period of both: see platform_kernel.c.
 *
 * Ordering: a grace period gives (E), (S) and (U). If it began after the head had moved, a reader that it does not wait
 * for sees the new head. A reader that it waits for has done its reads before the grace period ended.
 */
#ifndef BID_PIN_KERNEL_H
#define BID_PIN_KERNEL_H

#include <linux/preempt.h>

/* A pin of RCU is told from one of SRCU by its slot; nothing is ever written to it. */
#define BID_PIN_SLOTS 1
#define BID_PIN_EPOCH_FIRST 1

struct bid_pin_slot {
    _Atomic(uintptr_t) owner;
};

struct bid_pin_area {
    struct bid_pin_slot slots[BID_PIN_SLOTS];
};

struct bid_pins {
    struct bid_pin_area *area;
    int fenced;             /* never: there is nothing to choose from */
    bid_word epoch;         /* counted up whenever something is retired */
    bid_word forks, forked; /* there are none */
};

struct bid_pin {
    struct bid_pin_slot *slot; /* NULL: of SRCU */
    uint64_t before;           /* what SRCU wants back */
};

static inline struct bid_pin_slot *bid_pin_first(struct bid_pin_slot *slots)
{
    return slots;
}

/* No tracing: tracers themselves look up. */
static inline struct bid_pin bid_pin_plain(const struct bid_pins *pins, struct bid_pin_slot *slots)
{
    if (slots)
        preempt_disable_notrace();
    return (struct bid_pin){slots, 0};
}

static inline void bid_pin_leave(struct bid_pin pin)
{
    preempt_enable_notrace();
}

static inline struct bid_pin bid_pin(struct bid_pins *pins)
{
    return bid_pin_plain(pins, pins->area->slots);
}

static inline void bid_unpin(struct bid_pins *pins, struct bid_pin pin)
{
    bid_pin_leave(pin);
}

struct bid_pin bid_pin_update(struct bid_pins *pins, int may_sleep);
void bid_unpin_update(struct bid_pins *pins, struct bid_pin pin);

#endif
