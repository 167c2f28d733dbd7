/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The general form of a pin, and what ends it. Included by lookup.c alone, for a lookup calls nothing outside of its
 * object file.
 */
#ifndef BID_PIN_FORMS_H
#define BID_PIN_FORMS_H

#include "pins.h"

/* The slot that this thread owns for life, claimed now if it has none; NULL if its window is full. A handler that comes
 * between the look at a slot and its claim may claim it first: for the same thread, so the claim is looked at again. */
static struct bid_pin_slot *bid_pin_own(struct bid_pins *pins, uintptr_t thread)
{
    uint64_t first = bid_pin_slot_number(thread);
    for (unsigned i = 0; i < BID_PIN_WINDOW; i++) {
        struct bid_pin_slot *slot = &pins->area->slots[(first + i) & (BID_PIN_SLOTS - 1)];
        uintptr_t owner = bid_load(&slot->owner, BID_RELAXED);
        if (!owner && bid_cas(&slot->owner, &owner, thread, BID_RELAXED))
            return slot;
        if (owner == thread)
            return slot;
    }
    return NULL;
}

static struct bid_pin_slot *bid_pin_temporary(struct bid_pins *pins, uintptr_t thread)
{
    uint64_t first = bid_pin_slot_number(thread);
    for (unsigned i = 0; i < BID_PIN_TEMPORARY; i++) {
        struct bid_pin_slot *slot = &pins->area->slots[BID_PIN_SLOTS + (first + i) % BID_PIN_TEMPORARY];
        uintptr_t owner = 0;
        if (bid_cas(&slot->owner, &owner, thread, BID_U_ACQUIRE)) /* (U) pairs with bid_unpin() */
            return slot;
    }
    return NULL;
}

struct bid_pin bid_pin(struct bid_pins *pins)
{
    uintptr_t thread = bid_platform_thread();
    struct bid_pin_slot *slot = bid_pin_own(pins, thread);
    struct bid_pin pin = {NULL, bid_pin_overflow(thread)};
    int plain = slot && !pins->fenced;
    if (!slot)
        slot = bid_pin_temporary(pins, thread);
    if (slot)
        pin = bid_pin_enter(pins, slot);
    else
        bid_add(&pins->area->overflow[pin.before], 1, BID_RELAXED);
    if (plain)
        bid_platform_compiler_barrier();
    else
        atomic_thread_fence(BID_S_FENCE); /* (S) pairs with bid_platform_barrier() in bid_pins_over() */
    return pin;
}

void bid_unpin(struct bid_pins *pins, struct bid_pin pin)
{
    if (!pin.slot) {
        bid_sub(&pins->area->overflow[pin.before], 1, BID_U_RELEASE); /* (U) */
        return;
    }
    bid_pin_leave(pin);
    if (pin.slot >= pins->area->slots + BID_PIN_SLOTS)
        bid_store(&pin.slot->owner, 0, BID_U_RELEASE); /* (U) pairs with bid_pin_temporary() */
}

#endif
