/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * When to resize, to what, and the start of it. The work itself is in move.c.
 *
 * The rules: an array is left when 7/10 of its slots are claimed, when a probe sequence is full, when its records are
 * used up, or when 1/16 or less of it is live. The next one is the smallest of which the live entries fill at most
 * 13/25; or 2/5 if many slots are tombstones, for then more are to come. It is not smaller than the least size. A probe
 * sequence of 16 buckets is full by accident with a probability of 10^-20 at a load of 1/2 and 10^-10 at 7/10
 * (docs/paths.py). If a sequence is full above 1/2, the array grows a little earlier. Below 1/2 the reason is keys that
 * collide under this seed; they get another seed, not more memory.
 *
 * Progress: lock-free. Several threads may build a future array at once; one wins, the others free theirs.
 */
#include "update.h"

#define BID_RESEEDS_MAX 4 /* in a row; then keys are made for the seeds, and BID_E_COLLISIONS says so */

/* Below the start size only powers of two: see hash.h. */
static uint32_t bid_size_next(uint32_t size)
{
    return size + (size < BID_SIZE_START ? 2 : 1);
}

static uint32_t bid_size_fit(uint64_t entries, uint64_t numerator, uint64_t denominator)
{
    uint32_t size = 0;
    while (bid_size_buckets(size) * BID_BUCKET_SLOTS * numerator < entries * denominator)
        size = bid_size_next(size);
    return size;
}

/* No array shrinks below this by itself. It is more while arrays that were left wait for a reader or for an update that
 * was preempted: there is a bound on how many may wait, and larger ones last longer. */
static uint32_t bid_size_least(const struct bid_table *table)
{
    if (!bid_waits(table))
        return BID_SIZE_START;
    return BID_SIZE_START + 2 * (bid_retired_arrays(table) / BID_WAITING_FOR_TWICE);
}

/* For a new array: `entries` fill at most 13/25 of it. */
static uint32_t bid_size_for(uint64_t entries)
{
    return bid_size_fit(entries, 13, 25);
}

/* Into which `entries` go before the array is left. */
uint32_t bid_size_for_room(uint64_t entries)
{
    return bid_size_fit(entries, 7, 10);
}

/* Whether `entries` in all fit in as many slots before the array is left, however many of them are used up. */
static int bid_array_fits(const struct bid_array *array, uint64_t entries)
{
    return entries * 10 <= bid_array_slots(array) * 7;
}

/* ------------------------------------------------------------------------------------------------- plan -- */

static uint64_t bid_next_seed(const struct bid_table *table, uint64_t seed)
{
    return table->options.flags & BID_FIXED_SEED ? bid_mix(seed, 0x5bf03635u) : bid_platform_random();
}

static uint64_t bid_plan_slots(const struct bid_array_plan *plan)
{
    return bid_size_buckets(plan->size) * BID_BUCKET_SLOTS;
}

/* The entries with which a new array may be published: of more of them a copy might find its probe sequence full. */
static uint64_t bid_plan_entries(const struct bid_array_plan *plan)
{
    return bid_plan_slots(plan) * 9 / 16;
}

/* The floor's word: the entries for which room is kept, and above them the number of changes. So whoever takes back a
 * change of his own takes back that of nobody else, though it be to the same entries. */
#define BID_FLOOR_ONE (2 * BID_ENTRIES_MAX)

static uint64_t bid_floor(const struct bid_table *table)
{
    return bid_load(&table->floor_entries, BID_RELAXED) % BID_FLOOR_ONE;
}

/* Entries that an array has to have room for: those reserved, by any thread or by this one, whose reservation a
 * bid_shrink() may have given up meanwhile. */
static uint64_t bid_reserved(const struct bid_table *table, uint64_t wanted)
{
    uint64_t floor = bid_floor(table);
    return floor < wanted ? wanted : floor;
}

/* The size of an array that is made for `live` entries, or for the reserved ones. */
static uint32_t bid_size_rebuilt(uint64_t live, uint64_t claimed, uint64_t reserved, uint32_t least)
{
    int churns = live + live / 4 < claimed;
    uint32_t floor = bid_size_for_room(reserved), size = churns ? bid_size_fit(live, 2, 5) : bid_size_for(live);
    least = least < floor ? floor : least;
    return size < least ? least : size;
}

/* Of so many entries the records that are likely to be elsewhere, with a margin: those that get no place, in a new
 * array or in one that is filled until it is left (docs/paths.py). */
static uint64_t bid_elsewhere(const struct bid_table *table, uint64_t entries, int filled)
{
    static const uint8_t eighths[] = {1, 4, 5}; /* by the units of a record */
    return entries * (uint64_t)(eighths[table->record_units - 1] + filled) / 8 + 32;
}

/* Room for the records elsewhere: as many as may have to be copied, with a margin for the inserts that are under way
 * when the array is published, and for threads that stand still with a place; then one for each slot that may be
 * claimed and as many again for what is replaced. Reserved; those that are likely to be needed for copies are populated
 * at once, so that want of memory does not stop a resize half way. */
void bid_plan_records(const struct bid_table *table, uint64_t live, uint64_t reserved, struct bid_array_plan *plan)
{
    uint64_t units = table->record_units, slots = bid_plan_slots(plan), aside = BID_REMOVES_ASIDE * units;
    uint64_t churn = slots * 5 / 4;
    plan->at_once = aside + bid_elsewhere(table, live, 0) * units;
    plan->copies = (bid_plan_entries(plan) + 1024) * units;
    plan->early = slots / BID_EARLY_SHARE;
    plan->capacity = aside + plan->copies + (churn > reserved ? churn : reserved) * units;
}

/* A larger array keeps the seed: keys that lay close together lie further apart in it. One of the same size keeps it,
 * too: nothing gets closer. In a smaller array keys could pile up, because the removes may have left the rest in one
 * part of the old one; so it gets another seed. An array of the same size gets one if a probe sequence was full. */
static void bid_plan_seed(const struct bid_table *table, const struct bid_array *array, enum bid_need need,
                          struct bid_array_plan *plan)
{
    if (plan->size < array->size || (need == BID_NEED_SLOT && plan->size == array->size))
        plan->seed = bid_next_seed(table, array->seed);
}

/* The array to replace `array`, for the entries that there are now. What bid_shrink() left below the start size gets
 * there in steps, each array twice as large as the last: small ones do not last long. `at_least`: a size. */
static int bid_plan(struct bid_table *table, const struct bid_array *array, enum bid_need need, uint64_t wanted,
                    uint32_t at_least, struct bid_array_plan *plan, enum bid_resize_cause *cause)
{
    uint32_t now = array->size, least = need == BID_NEED_SHRINK ? 0 : bid_size_least(table);
    uint64_t claimed = bid_load(&array->claimed, BID_RELAXED), live = bid_count(table);
    if (live > table->options.max_entries)
        live = table->options.max_entries; /* some of these are on their way in, and will be refused */
    uint64_t reserved = bid_reserved(table, wanted);
    if (least > now && least == BID_SIZE_START)
        least = now + 2;
    *plan = (struct bid_array_plan){.seed = array->seed};
    plan->size = bid_size_rebuilt(live, need == BID_NEED_SHRINK ? live : claimed, reserved, least);
    if (need == BID_NEED_SHRINK && plan->size > now && live * 16 <= bid_array_slots(array) * 9)
        plan->size = now;
    if (need == BID_NEED_SLOT && claimed * 2 < bid_array_slots(array)) {
        if (array->reseeds == BID_RESEEDS_MAX)
            return BID_E_COLLISIONS;
        plan->size = now;
        plan->reseeds = array->reseeds + 1;
    }
    if (plan->size < at_least)
        plan->size = at_least;
    if (plan->size > BID_SIZE_MAX)
        plan->size = BID_SIZE_MAX; /* which BID_ENTRIES_MAX fill to a half */
    bid_plan_seed(table, array, need, plan);
    *cause = need == BID_NEED_RESERVE ? BID_RESIZE_RESERVE
             : plan->size < now       ? BID_RESIZE_SHRINK
             : plan->size > now       ? need == BID_NEED_SHRINK ? BID_RESIZE_SHRINK : BID_RESIZE_GROW
             : plan->reseeds          ? BID_RESIZE_RESEED
                                      : BID_RESIZE_TOMBSTONES;
    bid_plan_records(table, live, reserved, plan);
    return BID_OK;
}

/* ------------------------------------------------------------------------------------------------ begin -- */

/* What becomes retired when `array` is left must fit under the limit on memory that waits for readers, unless nothing
 * waits: a limit below the size of one array must not stop the table from growing. */
static int bid_retired_room(struct bid_table *table, struct bid_array *array)
{
    uint64_t bytes = bid_array_bytes(array), largest = bid_load(&table->largest, BID_RELAXED);
    while (bytes > largest && !bid_cas(&table->largest, &largest, bytes, BID_RELAXED))
        ;
    if (bytes > largest)
        largest = bytes;
    uint64_t limit = table->options.retired_limit ? table->options.retired_limit : 4 * largest + (16 << 20);
    uint64_t retired = bid_retired_bytes(table, NULL);
    return !retired || retired + bytes <= limit ? BID_OK : BID_E_RETIRED;
}

/* Keeps the entries of `array` to what its future has room for while that is built and until all have seen it; inserts
 * above the limit build a future of their own. The limit only sinks, so it holds for every future that is being built.
 * Returns whether the entries are under it. */
static int bid_limit_entries(struct bid_table *table, struct bid_array *array, uint64_t limit)
{
    uint64_t old = bid_load(&array->live_limit, BID_RELAXED);
    while (limit < old && !bid_cas(&array->live_limit, &old, limit, BID_RELAXED))
        ;
    return bid_add(&table->count, 0, BID_C_RELEASE) <= limit; /* (C) pairs with bid_entry_admit() */
}

static int bid_resize_build(struct bid_table *table, struct bid_array *array, enum bid_need need, uint64_t wanted)
{
    struct bid_array_plan plan;
    enum bid_resize_cause cause;
    struct bid_array *future = NULL;
    uint64_t none = 0;
    /* Each turn follows on inserts of others that made the last array too small. Its successor is larger, so the turns
     * are as many as there are sizes, whatever leaves and comes meanwhile. */
    for (uint32_t at_least = 0;; at_least = bid_size_next(plan.size)) {
        int status = bid_plan(table, array, need, wanted, at_least, &plan, &cause);
        if (status == BID_OK)
            status = bid_retired_room(table, array);
        if (status == BID_OK)
            status = bid_array_make(table, &plan, &future);
        if (status != BID_OK)
            return status;
        if (bid_limit_entries(table, array, bid_plan_entries(&plan)))
            break;
        bid_array_free(table, future); /* too small by now: other threads have inserted meanwhile */
    }
    BID_ASSERT(bid_load(&array->live_limit, BID_RELAXED) <= bid_plan_entries(&plan)); /* the capacity invariant */
    BID_ASSERT(future->record_copies >= bid_load(&array->live_limit, BID_RELAXED) * table->record_units);
    if (!bid_cas(&array->future, &none, future->word, BID_F_RELEASE)) { /* (F) pairs with every load of a future */
        bid_array_free(table, future);
        return BID_OK;
    }
    bid_leave(table, array);
    bid_add(&table->causes[cause], 1, BID_RELAXED);
    return BID_OK;
}

int bid_resize_begin(struct bid_table *table, struct bid_array *array, enum bid_need need, uint64_t wanted)
{
    if (bid_is_left(array))
        return BID_OK;
    int status = bid_resize_build(table, array, need, wanted);
    /* Another thread's array may have taken what this one lacked. */
    return bid_is_left(array) ? BID_OK : status;
}

/* One thread builds while the others go on in the old array, which has room left: a hint, not a lock, for whoever runs
 * into a full probe sequence builds one too. */
void bid_resize_consider(struct bid_table *table, struct bid_array *array)
{
    uint64_t slots = bid_array_slots(array), claimed = bid_load(&array->claimed, BID_RELAXED);
    int filled = !bid_array_fits(array, claimed);
    int idle = bid_count(table) * 16 <= slots && array->size > BID_SIZE_START &&
               array->size > bid_size_for_room(bid_reserved(table, 0)) && array->size > bid_size_least(table);
    if ((!filled && !idle) || claimed < bid_load(&array->consider, BID_RELAXED))
        return;
    uint64_t birth = bid_load(&array->life, BID_RELAXED), builder = bid_load(&table->builder, BID_RELAXED);
    if (builder == birth || !bid_cas(&table->builder, &builder, birth, BID_RELAXED))
        return;
    if (bid_resize_begin(table, array, BID_NEED_ROOM, 0) != BID_OK) {
        /* What failed is not tried again at each update. */
        bid_store(&array->consider, claimed + slots / 64 + 1, BID_RELAXED);
        bid_store(&table->builder, 0, BID_RELAXED);
    }
}

/* ---------------------------------------------------------------------------------- reserve and shrink -- */

/* Whether a new array would take less memory, or be free of tombstones or of records that serve no entry. Above the
 * load of a new one it has more buckets, and may take less memory all the same, without those records. */
static int bid_wasteful(struct bid_table *table, const struct bid_array *array)
{
    uint64_t live = bid_count(table);
    uint64_t taken = bid_load(&array->record_next, BID_RELAXED) - array->record_first;
    struct bid_array_plan plan = {.size = bid_size_for(live)};
    int unused = bid_load(&array->claimed, BID_RELAXED) > live ||
                 taken > (BID_REMOVES_ASIDE + bid_elsewhere(table, live, 0)) * table->record_units;
    bid_plan_records(table, live, 0, &plan);
    return bid_plan_bytes(&plan) < bid_array_bytes(array) || plan.size < array->size ||
           (plan.size == array->size && unused);
}

/* Whether `entries` in all fit without allocating; populates the records for those that get no place. These are many of
 * the last to come, however many were there before, and all that come back to the tombstone of their key. */
static int bid_has_room(struct bid_table *table, struct bid_array *array, uint64_t entries)
{
    uint64_t count = bid_count(table), more = entries > count ? entries - count : 0;
    uint64_t claimed = bid_load(&array->claimed, BID_RELAXED), records = bid_elsewhere(table, entries, 1);
    if (!bid_array_fits(array, claimed + more) || bid_load(&array->live_limit, BID_RELAXED) < entries)
        return BID_STEP_FULL;
    records += claimed > count ? claimed - count : 0;
    uint64_t units = (records < more ? records : more) * table->record_units;
    uint64_t end = bid_load(&array->record_next, BID_RELAXED) + units;
    return end > array->record_capacity ? BID_STEP_NO_ROOM : bid_record_ready(table, array, end);
}

/* What one call of bid_reserve() or bid_shrink() is at. */
struct bid_rebuild {
    enum bid_need need;
    uint64_t entries;
    unsigned done; /* arrays that it has put in the place of the head, or another thread has when it was about to */
};

/* Updates that came meanwhile may have used up a part of an array that just fits: up to one slot in BID_EARLY_SHARE of
 * it before it was the head. The next one has room for these as well. */
static uint64_t bid_rebuild_entries(const struct bid_rebuild *rebuild)
{
    return rebuild->done ? rebuild->entries + rebuild->entries * 10 / (7 * BID_EARLY_SHARE - 10) + 1 : rebuild->entries;
}

/* What reserve and shrink have in common: finish the resize that is under way, see whether the head will do, and if
 * not, replace it. BID_STEP_MOVED: it was replaced; an error, or BID_OK if it will do. */
static int bid_rebuild_once(struct bid_table *table, struct bid_rebuild *rebuild)
{
    struct bid_array *head = bid_head(table);
    int status = bid_resize_complete(table, head);
    if (status != BID_OK)
        return status;
    head = bid_head(table);
    if (rebuild->need == BID_NEED_SHRINK)
        status = rebuild->done || !bid_wasteful(table, head) ? BID_OK : BID_STEP_FULL;
    else
        status = bid_has_room(table, head, rebuild->entries);
    if (status != BID_STEP_FULL && status != BID_STEP_NO_ROOM)
        return status;
    if (rebuild->done == BID_REBUILDS_MAX) /* others used up the room; or their arrays, smaller, came before ours */
        return bid_array_fits(head, rebuild->entries) ? BID_OK : BID_E_BUSY;
    status = bid_resize_begin(table, head, rebuild->need, bid_rebuild_entries(rebuild));
    if (status == BID_OK)
        status = bid_resize_complete(table, head);
    if (status != BID_OK)
        return status;
    rebuild->done++;
    return BID_STEP_MOVED;
}

/* Ends when the head will do, or after BID_REBUILDS_MAX. Each turn has a pin of its own, so that it does not hold up
 * what the last one left. */
static int bid_rebuild_until_done(struct bid_table *table, struct bid_rebuild *rebuild)
{
    for (;;) {
        struct bid_pin pin = bid_pin_update(table->pins, 1);
        int status = bid_rebuild_once(table, rebuild);
        bid_unpin_update(table->pins, pin);
        bid_reclaim(table);
        if (status != BID_STEP_MOVED)
            return status;
    }
}

static int bid_rebuild(struct bid_table *table, struct bid_rebuild *rebuild)
{
    uint64_t frees = bid_load(&table->frees, BID_RELAXED);
    int status = bid_rebuild_until_done(table, rebuild);
    if (bid_lacks_memory(status) && bid_load(&table->frees, BID_RELAXED) != frees)
        return bid_rebuild_until_done(table, rebuild);
    return status;
}

/* Keeps room for what a reserve asks for, or for nothing after a shrink, and rebuilds for that. If it cannot, the floor
 * is as it was, unless another thread has changed it since. */
static int bid_rebuild_for_floor(struct bid_table *table, struct bid_rebuild *rebuild)
{
    uint64_t before = bid_load(&table->floor_entries, BID_RELAXED), after, entries;
    do {
        entries = before % BID_FLOOR_ONE;
        if (rebuild->need == BID_NEED_SHRINK || entries < rebuild->entries)
            entries = rebuild->entries;
        after = before - before % BID_FLOOR_ONE + BID_FLOOR_ONE + entries;
    } while (!bid_cas(&table->floor_entries, &before, after, BID_RELAXED));
    int status = bid_rebuild(table, rebuild);
    if (status != BID_OK)
        bid_cas(&table->floor_entries, &after, after - entries + before % BID_FLOOR_ONE, BID_RELAXED);
    return status;
}

int bid_reserve(struct bid_table *table, uint64_t entries)
{
    if (!table)
        return BID_E_NULL;
    if (entries > table->options.max_entries)
        return entries > BID_ENTRIES_MAX ? BID_E_TOO_MANY : BID_E_MAX_ENTRIES;
    if (bid_is_of_parent(table))
        return BID_E_REGION;
    struct bid_rebuild rebuild = {.need = BID_NEED_RESERVE, .entries = entries};
    int status = bid_rebuild(table, &rebuild);
    /* Room that cannot be had is not asked for by each rebuild to come. And another thread may shrink it meanwhile. */
    return status == BID_OK ? bid_rebuild_for_floor(table, &rebuild) : status;
}

int bid_shrink(struct bid_table *table)
{
    if (!table)
        return BID_E_NULL;
    if (bid_is_of_parent(table))
        return BID_E_REGION;
    struct bid_rebuild rebuild = {.need = BID_NEED_SHRINK};
    int status = bid_rebuild_for_floor(table, &rebuild);
    return status == BID_OK && !rebuild.done ? BID_UNCHANGED : status;
}
