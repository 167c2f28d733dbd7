/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Grace periods for the rivals: see grace.h. */
#include "grace.h"

#include "bid.h"
#include "lock.h"

#include <stdlib.h>

int rival_grace_init(struct rival_grace *grace)
{
    *grace = (struct rival_grace){.lock = ATOMIC_FLAG_INIT, .look_at = RIVAL_RETIRED};
    if (bid_platform_pins(0, 0, &grace->pins) != BID_OK)
        return -1;
    if (!grace->pins->fenced)
        grace->slots = grace->pins->area->slots;
    return 0;
}

void rival_grace_end(struct rival_grace *grace)
{
    for (size_t i = 0; i < grace->count; i++)
        free(grace->retired[i].memory);
    free(grace->retired);
}

static void collect(struct rival_grace *grace)
{
    size_t kept = 0;
    bid_platform_barrier(grace->pins); /* (S) pairs with rival_enter() */
    uint64_t oldest = bid_oldest_pin(grace->pins);
    for (size_t i = 0; i < grace->count; i++)
        if (grace->retired[i].epoch < oldest)
            free(grace->retired[i].memory);
        else
            grace->retired[kept++] = grace->retired[i];
    grace->count = kept;
    grace->look_at = kept + RIVAL_RETIRED;
}

static int make_room(struct rival_grace *grace)
{
    if (grace->count < grace->capacity)
        return 1;
    size_t capacity = 2 * grace->capacity + RIVAL_RETIRED;
    struct rival_retired *larger = realloc(grace->retired, capacity * sizeof *larger);
    if (!larger)
        return 0;
    grace->retired = larger;
    grace->capacity = capacity;
    return 1;
}

void rival_retire(struct rival_grace *grace, void *memory)
{
    if (!memory)
        return;
    rival_lock(&grace->lock);
    if (make_room(grace)) {
        uint64_t epoch = bid_epoch_pass(grace->pins); /* (E) pairs with bid_pin_enter() */
        grace->retired[grace->count++] = (struct rival_retired){memory, epoch};
    }
    if (grace->count >= grace->look_at)
        collect(grace);
    rival_unlock(&grace->lock);
}

void rival_grace_collect(struct rival_grace *grace)
{
    rival_lock(&grace->lock);
    if (grace->count)
        collect(grace);
    rival_unlock(&grace->lock);
}
