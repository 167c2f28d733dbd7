/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Pins: the read-side sections of the table. Each home has its own, chosen when the table is compiled, for a lookup
 * calls through no pointer. Each defines
 *
 *   struct bid_pins, struct bid_pin              of all readers here; one pin, for who ends it
 *   bid_pin_plain(), bid_pin_leave()             the form of nearly every lookup; `simple_pins` of the table says where
 *   bid_pin(), bid_unpin()                       the form that always works
 *   bid_pin_update(), bid_unpin_update()         of an update, which may sleep with it if it may allocate
 *   bid_pin_first()                              the slot of bid_pin_plain()
 *
 * How long a pin keeps memory is the flavor's side: see reclaim.c.
 */
#ifndef BID_PIN_H
#define BID_PIN_H

#include "bid_atomic.h"
#include "platform.h"

#ifdef __KERNEL__
#include "pin_kernel.h"
#else
#include "../process/pins.h"
#endif

#endif
