/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every form of a pin, for any thread: it has no slot for life, or no temporary one either, if those that it may take are owned by
 * others. Here they are given to nobody. */
#ifndef PIN_FORMS_H
#define PIN_FORMS_H

#include "check.h"
#include "table.h"

#include "pin.h"

enum form { PLAIN, FENCED, TEMPORARY, CROWD, FORMS };

#define NOBODY ((uintptr_t)-1)

static inline struct bid_table *make_for(enum form form, struct bid_options options)
{
    if (form == FENCED)
        options.flags |= BID_FENCED_PINS;
    return make_table(options);
}

static inline struct bid_pin_slot *window_slot(const struct bid_table *table, unsigned i)
{
    return &table->pins->area->slots[(bid_pin_slot_number(bid_platform_thread()) + i) & (BID_PIN_SLOTS - 1)];
}

static inline struct bid_pin_slot *temporary_slot(const struct bid_table *table, unsigned i)
{
    return &table->pins->area->slots[BID_PIN_SLOTS + i];
}

static inline void change_owner(struct bid_pin_slot *slot, uintptr_t from, uintptr_t to)
{
    bid_cas(&slot->owner, &from, to, BID_RELAXED);
}

/* From here on this thread has pins of a form. Of the temporary slots, all but the first `left` are taken. */
static inline void take_slots(const struct bid_table *table, enum form form, unsigned left)
{
    for (unsigned i = 0; form >= TEMPORARY && i < BID_PIN_WINDOW; i++) {
        change_owner(window_slot(table, i), bid_platform_thread(), NOBODY);
        change_owner(window_slot(table, i), 0, NOBODY);
    }
    for (unsigned i = left; form >= TEMPORARY && i < BID_PIN_TEMPORARY; i++)
        change_owner(temporary_slot(table, i), 0, NOBODY);
}

/* Of this thread. */
static inline void take_all_slots(const struct bid_table *table, enum form form)
{
    take_slots(table, form, form == CROWD ? 0 : 4);
}

static inline void give_slots_back(const struct bid_table *table)
{
    for (unsigned i = 0; i < BID_PIN_SLOTS + BID_PIN_TEMPORARY; i++)
        change_owner(&table->pins->area->slots[i], NOBODY, 0);
}

#endif
