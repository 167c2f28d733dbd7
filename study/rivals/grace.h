/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Grace periods for the rivals whose readers take no lock, by the table's own pins (csrc/table/pin.h). So such a rival
 * pays for its readers' safety what the table pays, and differs from it in the design alone.
 *
 * A reader enters, loads pointers and leaves. An updater unlinks an entry, then retires it: the entry gets the epoch,
 * and the epoch is counted up. The entry is freed when no pin has that epoch or an older one (csrc/process/grace.c has
 * the argument). Nobody waits. Retired entries are checked again after each RIVAL_RETIRED more.
 *
 * Progress: a reader's part is wait-free; retiring takes a lock of its own, which no reader takes.
 */
#ifndef RIVAL_GRACE_H
#define RIVAL_GRACE_H

#include "table/pin.h"

#include <stdatomic.h>
#include <stddef.h>

#define RIVAL_RETIRED 256

struct rival_retired {
    void *memory;
    uint64_t epoch;
};

struct rival_grace {
    struct bid_pins *pins;
    struct bid_pin_slot *slots; /* for plain pins; NULL: fenced */
    atomic_flag lock;           /* of the rest */
    struct rival_retired *retired;
    size_t count, capacity, look_at; /* look_at: the count at which to free what is old enough */
};

static inline struct bid_pin rival_enter(const struct rival_grace *grace)
{
    struct bid_pin pin = bid_pin_plain(grace->pins, grace->slots);
    return __builtin_expect(pin.slot != NULL, 1) ? pin : bid_pin(grace->pins);
}

static inline void rival_leave(const struct rival_grace *grace, struct bid_pin pin)
{
    bid_platform_compiler_barrier();
    if (__builtin_expect(grace->slots && pin.slot && pin.slot < grace->slots + BID_PIN_SLOTS, 1))
        bid_pin_leave(pin);
    else
        bid_unpin(grace->pins, pin);
}

/* Returns 0, or -1 without memory. */
int rival_grace_init(struct rival_grace *grace);

/* Frees everything: no reader is there any more. */
void rival_grace_end(struct rival_grace *grace);

/* free() after a grace period, of memory that only readers can reach which are in it already. NULL is allowed. Without
 * memory for the list it is never freed: a leak, and safe. */
void rival_retire(struct rival_grace *grace, void *memory);

/* Frees what is old enough now. */
void rival_grace_collect(struct rival_grace *grace);

#endif
