/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Refresh: a new snapshot takes the place of the old one, which is freed after a grace period.
 *
 * Which reading of /proc/self/maps is newer? Each reading takes two numbers of one clock (`clock`), one before it
 * begins and one after it has ended: read-modify-writes of both orders, so the reading lies between them. A snapshot
 * may replace one whose reading had ended before its own began. So what is published never goes back. If the readings
 * overlapped, the refresh reads again. That happens only because another thread has published, so refreshes are
 * lock-free but for the system calls. A refresh that finds a reading begun after its own call has nothing to do.
 *
 * Grace periods are those of the table's arrays, with the same pins and the same argument (csrc/process/grace.c). After
 * the pointer has moved on (M) a snapshot gets the epoch, and the epoch is counted up (E). The reclaimer's barrier (S)
 * and its scan (U) find every reader that may still be in the snapshot. A thread may be stopped for good between the
 * move of the pointer and the push to the list of retired snapshots, or while it has taken that list. It keeps these
 * snapshots and nothing else.
 */
#define _GNU_SOURCE
#include "readings.h"
#include "snapshot.h"

/* ------------------------------------------------------------------------------------------- reclamation -- */

static void push(struct bid_maps *maps, struct bid_snapshot *snapshot)
{
    struct bid_snapshot *first = bid_load(&maps->retired, BID_RELAXED);
    do
        snapshot->next = first;
    while (!bid_cas(&maps->retired, &first, snapshot, memory_order_release)); /* pairs with take_all() */
}

static struct bid_snapshot *take_all(struct bid_maps *maps)
{
    return atomic_exchange_explicit(&maps->retired, NULL, memory_order_acquire); /* pairs with push() */
}

static void retire(struct bid_maps *maps, struct bid_snapshot *snapshot)
{
    snapshot->epoch = bid_epoch_pass(maps->pins); /* (E) pairs with bid_pin_enter() */
    bid_add(&maps->waiting, 1, BID_RELAXED);
    push(maps, snapshot);
}

/* What was taken is free of readers if its epoch is below every pin's. */
static void reclaim(struct bid_maps *maps)
{
    struct bid_snapshot *next, *snapshot = take_all(maps);
    if (!snapshot)
        return;
    uint64_t oldest = bid_pins_over(maps->pins);
    for (; snapshot; snapshot = next) {
        next = snapshot->next;
        if (snapshot->epoch < oldest && bid_snapshot_dispose(snapshot, maps->table) == BID_OK)
            bid_sub(&maps->waiting, 1, BID_RELAXED);
        else
            push(maps, snapshot);
    }
}

/* A snapshot that nobody has seen. If its entries cannot be removed now, it waits with the retired ones. */
static void discard(struct bid_maps *maps, struct bid_snapshot *snapshot)
{
    if (bid_snapshot_dispose(snapshot, maps->table) != BID_OK)
        retire(maps, snapshot);
}

/* ----------------------------------------------------------------------------------------------- refresh -- */

enum { PUBLISHED, AGAIN, SUBSUMED, UNCHANGED };

/* Under a pin, so that the current snapshot stays for as long as it is compared. */
static int publish(struct bid_maps *maps, struct bid_snapshot *snapshot, uint64_t called)
{
    struct bid_pin pin = bid_pin(maps->pins);
    struct bid_snapshot *current = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) */
    int result = PUBLISHED;
    do {
        if (current->begun > called)
            result = SUBSUMED;
        else if (current->ended > snapshot->begun)
            result = AGAIN;
        else
            snapshot->number = current->number + 1;
    } while (result == PUBLISHED &&
             !atomic_compare_exchange_strong_explicit(&maps->current, &current, snapshot, BID_M_RELEASE,
                                                      BID_M_ACQUIRE)); /* (M) pairs with bid_resolve() */
    bid_unpin(maps->pins, pin);
    if (result == PUBLISHED) {
        bid_add(&maps->published, 1, BID_RELAXED);
        retire(maps, current);
    }
    return result;
}

/* What the current snapshot knows goes into the new one; its number. */
static uint64_t inherit(struct bid_maps *maps, struct bid_snapshot *snapshot)
{
    struct bid_pin pin = bid_pin(maps->pins);
    const struct bid_snapshot *current = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) */
    uint64_t number = current->number;
    bid_snapshot_inherit(snapshot, current);
    bid_unpin(maps->pins, pin);
    return number;
}

/* Whether the snapshot of that number is still the current one, and no thread is about to publish an older reading than
 * the caller's. Then an equal snapshot need not be published. */
static int still_current(struct bid_maps *maps, uint64_t number)
{
    int alone = bid_readings_alone(maps->readings);
    struct bid_pin pin = bid_pin(maps->pins);
    const struct bid_snapshot *current = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) */
    int still = current->number == number;
    bid_unpin(maps->pins, pin);
    return alone && still;
}

static int read_snapshot(struct bid_maps *maps, struct bid_snapshot **snapshot)
{
    struct bid_maps_text text;
    uint64_t begun = bid_add(&maps->clock, 1, memory_order_acq_rel) + 1;
    int status = bid_maps_text_read(&text);
    uint64_t ended = bid_add(&maps->clock, 1, memory_order_acq_rel) + 1;
    if (status != BID_OK)
        return status;
    status = bid_snapshot_make(snapshot, &text);
    bid_maps_text_free(&text);
    if (status == BID_OK) {
        (*snapshot)->begun = begun;
        (*snapshot)->ended = ended;
    }
    return status;
}

/* A negative status, or how it went. A snapshot that was not published is gone. */
static int read_and_publish(struct bid_maps *maps, uint64_t called)
{
    struct bid_snapshot *snapshot;
    int result = UNCHANGED, status = read_snapshot(maps, &snapshot);
    if (status != BID_OK)
        return status;
    reclaim(maps);
    uint64_t number = inherit(maps, snapshot);
    bid_snapshot_read_files(snapshot);
    if (!snapshot->same || !still_current(maps, number)) {
        if (bid_load(&maps->waiting, BID_RELAXED) >= BID_MAPS_RETIRED_MAX)
            status = BID_E_RETIRED;
        else
            status = bid_snapshot_associate(snapshot, maps->table);
        result = status == BID_OK ? publish(maps, snapshot, called) : status;
    }
    if (result != PUBLISHED)
        discard(maps, snapshot);
    return result;
}

int bid_maps_refresh(struct bid_maps *maps)
{
    if (!maps)
        return BID_E_NULL;
    uint64_t called = bid_load(&maps->clock, memory_order_acquire);
    uint64_t era = bid_readings_begin(maps->readings, &maps->eras);
    int result;
    do
        result = read_and_publish(maps, called);
    while (result == AGAIN);
    bid_readings_end(maps->readings, era);
    if (result < 0)
        return result;
    if (result == UNCHANGED)
        return BID_EXISTS;
    reclaim(maps);
    return BID_OK;
}

/* ----------------------------------------------------------------------------------- create and destroy -- */

/* The first snapshot: of nothing. */
static int bid_maps_fill(struct bid_maps *maps, struct bid_table *table)
{
    static const struct bid_options any_id = {.size = sizeof any_id, .id_size = BID_ID_MAX};
    struct bid_snapshot *empty;
    int status = bid_platform_pins(0, 0, &maps->pins);
    if (status != BID_OK)
        return status;
    status = bid_snapshot_make(&empty, &(struct bid_maps_text){.text = ""});
    if (status != BID_OK)
        return status;
    maps->own_table = !table;
    maps->table = table;
    maps->readings = bid_wiped_map(sizeof *maps->readings);
    status = !maps->readings ? BID_E_NO_MEMORY : table ? BID_OK : bid_create(&maps->table, &any_id);
    if (status == BID_OK) {
        bid_store(&maps->current, empty, BID_M_RELEASE); /* (M) */
        return BID_OK;
    }
    if (maps->readings)
        bid_platform_unmap(maps->readings, sizeof *maps->readings);
    bid_platform_unmap(empty, empty->bytes);
    return status;
}

int bid_maps_create(struct bid_maps **result, struct bid_table *table)
{
    if (!result)
        return BID_E_NULL;
    *result = NULL;
    struct bid_maps *maps = bid_platform_map(sizeof *maps, 0);
    if (!maps)
        return BID_E_NO_MEMORY;
    int status = bid_platform_populate(maps, sizeof *maps, 0);
    if (status == BID_OK)
        status = bid_maps_fill(maps, table);
    if (status != BID_OK) {
        bid_platform_unmap(maps, sizeof *maps);
        return status;
    }
    *result = maps;
    return BID_OK;
}

/* A snapshot whose entries cannot be removed from the caller's table is left where it is. */
void bid_maps_destroy(struct bid_maps *maps)
{
    struct bid_snapshot *next, *snapshot;
    if (!maps)
        return;
    bid_follower_stop(maps);
    bid_snapshot_dispose(bid_load(&maps->current, BID_M_ACQUIRE), maps->table); /* (M) */
    for (snapshot = take_all(maps); snapshot; snapshot = next) {
        next = snapshot->next;
        bid_snapshot_dispose(snapshot, maps->table);
    }
    if (maps->own_table)
        bid_destroy(maps->table);
    bid_platform_unmap(maps->readings, sizeof *maps->readings);
    bid_platform_unmap(maps, sizeof *maps);
}

/* --------------------------------------------------------------------------------------------- iteration -- */

static struct bid_mapping describe(const struct bid_range *range)
{
    const struct bid_mapped_file *file = range->file;
    struct bid_mapping mapping = {.start = range->start,
                                  .end = range->end,
                                  .offset = range->offset,
                                  .status = BID_ABSENT,
                                  .fresh = (int32_t)range->fresh,
                                  .path = range->path};
    if (!file)
        return mapping;
    mapping.device = file->inode.device;
    mapping.inode = file->inode.number;
    mapping.generation = file->inode.generation;
    mapping.header = file->header;
    mapping.id_offset = file->id_offset;
    mapping.status = file->status;
    mapping.id = file->status == BID_OK ? &file->id : NULL;
    return mapping;
}

int bid_maps_iterate(const struct bid_maps *maps, bid_maps_visit visit, void *argument, uint64_t *number)
{
    if (!maps || !visit)
        return BID_E_NULL;
    struct bid_pin pin = bid_pin(maps->pins);
    const struct bid_snapshot *snapshot = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) */
    int status = BID_OK;
    if (number)
        *number = snapshot->number;
    for (uint64_t i = 0; i < snapshot->count && status == BID_OK; i++) {
        struct bid_mapping mapping = describe(&snapshot->ranges[i]);
        status = visit(argument, &mapping);
    }
    bid_unpin(maps->pins, pin);
    return status;
}
