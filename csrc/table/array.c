/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Bucket arrays: made and freed.
 *
 * One mapping each: slots, then records, then the bitmap of done chunks. Slots and bitmap are populated for writing
 * before the array is published, so that no lookup ever takes a page fault; records a step ahead of their use.
 */
#include "update.h"

/* Huge pages: those that lie wholly in what is populated at once; from this size of the slots on all of the array, for
 * what that rounds up is then small beside it. */
#define BID_HUGE_PAGE (2ull << 20)
#define BID_HUGE_SLOT_BYTES (8ull << 20)
#define BID_STEP_MIN (16ull << 10) /* each step is a system call */
#define BID_STEP_MAX (64ull << 10)

uint64_t bid_array_slots(const struct bid_array *array)
{
    return (array->bucket_mask + 1) * BID_BUCKET_SLOTS;
}

static uint64_t bid_round_up(uint64_t value, uint64_t granularity)
{
    return (value + granularity - 1) / granularity * granularity;
}

/* A free descriptor becomes the caller's. NULL: all are in use, that is, too many arrays wait for a stalled reader. */
static struct bid_array *bid_descriptor_take(struct bid_table *table)
{
    uint64_t birth = bid_add(&table->births, 1, BID_RELAXED) + 1;
    uint64_t life = bid_life_word(bid_load(&table->pins->forks, BID_RELAXED), birth, BID_LIFE_BUILDING);
    for (unsigned i = 0; i < BID_ARRAYS; i++) {
        uint64_t free = BID_LIFE_FREE;
        if (bid_cas(&table->arrays[i].life, &free, life, BID_L_ACQUIRE)) /* (L) pairs with the store below */
            return &table->arrays[i];
    }
    return NULL;
}

static void bid_descriptor_release(struct bid_array *array)
{
    bid_store(&array->life, BID_LIFE_FREE, BID_L_RELEASE); /* (L) pairs with bid_descriptor_take() */
}

static uint64_t bid_plan_chunks(const struct bid_array_plan *plan)
{
    return ((1ull << plan->log2_buckets) + BID_CHUNK_BUCKETS - 1) / BID_CHUNK_BUCKETS;
}

static void bid_array_shape(const struct bid_array_plan *plan, struct bid_array *array)
{
    uint64_t buckets = 1ull << plan->log2_buckets;
    array->seed = plan->seed;
    array->bucket_mask = buckets - 1;
    array->home_shift = 64 - plan->log2_buckets;
    array->path_buckets = buckets < BID_PATH_BUCKETS ? (uint32_t)buckets : BID_PATH_BUCKETS;
    array->chunks = bid_plan_chunks(plan);
    array->reseeds = plan->reseeds;
    array->record_copies = plan->copies;
    array->early_limit = plan->early;
    bid_store(&array->future, NULL, BID_RELAXED);
    bid_store(&array->moved, 0, BID_RELAXED);
    bid_store(&array->record_next, 0, BID_RELAXED);
    bid_store(&array->record_ready, 0, BID_RELAXED);
    bid_store(&array->early, 0, BID_RELAXED);
    bid_store(&array->claimed, 0, BID_RELAXED);
    bid_store(&array->live_limit, UINT64_MAX, BID_RELAXED);
    bid_store(&array->consider, 0, BID_RELAXED);
    bid_store(&array->cursor, 0, BID_RELAXED);
    bid_store(&array->done_words, 0, BID_RELAXED);
}

/* Sections of the mapping, each on a page of its own; the bitmap comes last, so that the records of a huge array keep
 * the alignment of the mapping. */
struct bid_layout {
    uint64_t slot_bytes, record_bytes, done_bytes, step_bytes;
    uint64_t huge_bytes; /* at the front */
    uint64_t at_once;    /* units of record that are populated when the array is made */
};

/* At the front of the mapping, what is populated when the array is made. */
static uint64_t bid_layout_at_once(const struct bid_layout *layout)
{
    return layout->slot_bytes + layout->at_once * BID_RECORD_BYTES;
}

static struct bid_layout bid_plan_layout(const struct bid_array_plan *plan)
{
    uint64_t page = bid_platform_page(), records = plan->capacity * BID_RECORD_BYTES;
    uint64_t slots = (BID_BUCKET_SLOTS * sizeof(bid_word)) << plan->log2_buckets;
    struct bid_layout layout = {.slot_bytes = bid_round_up(slots, page)};
    int huge = slots >= BID_HUGE_SLOT_BYTES;
    uint64_t step = records / 32 < BID_STEP_MAX ? records / 32 : BID_STEP_MAX;
    if (step < BID_STEP_MIN)
        step = records < BID_STEP_MIN ? records : BID_STEP_MIN;
    layout.step_bytes = huge ? BID_HUGE_PAGE : bid_round_up(step, page);
    layout.record_bytes = bid_round_up(records, layout.step_bytes);
    layout.done_bytes = bid_round_up((bid_plan_chunks(plan) + 63) / 64 * sizeof(bid_word), page);
    layout.at_once = bid_round_up(plan->at_once, layout.step_bytes / BID_RECORD_BYTES);
    uint64_t at_once = bid_layout_at_once(&layout) / BID_HUGE_PAGE * BID_HUGE_PAGE;
    layout.huge_bytes = huge ? layout.slot_bytes + layout.record_bytes : at_once;
    return layout;
}

static uint64_t bid_layout_bytes(const struct bid_layout *layout)
{
    return bid_layout_at_once(layout) + layout->done_bytes;
}

uint64_t bid_plan_bytes(const struct bid_array_plan *plan)
{
    struct bid_layout layout = bid_plan_layout(plan);
    return bid_layout_bytes(&layout);
}

uint64_t bid_array_bytes(const struct bid_array *array)
{
    return bid_load(&array->bytes, BID_RELAXED) + bid_load(&array->record_ready, BID_RELAXED) * BID_RECORD_BYTES;
}

static int bid_array_populate(struct bid_table *table, struct bid_array *array, const struct bid_layout *layout)
{
    array->slots = array->mapping;
    array->records = (struct bid_record *)((char *)array->mapping + layout->slot_bytes);
    array->done = (bid_word *)((char *)array->records + layout->record_bytes);
    int status = bid_populate(table, array->slots, layout->slot_bytes);
    if (status == BID_OK)
        status = bid_populate(table, array->done, layout->done_bytes);
    if (status == BID_OK && array->chunks % 64) /* bits that stand for no chunk are done */
        bid_store(&array->done[array->chunks / 64], ~0ull << array->chunks % 64, BID_RELAXED);
    return status;
}

/* Maps and populates an array, with the records that a resize will copy into it and some to spare: so it is not left
 * half done for want of memory. */
static int bid_array_map(struct bid_table *table, struct bid_array *array, const struct bid_layout *layout)
{
    const struct bid_allocator *allocator = &table->allocator;
    array->mapping_bytes = layout->slot_bytes + layout->record_bytes + layout->done_bytes;
    array->mapping =
        allocator->map(allocator->context, array->mapping_bytes, bid_layout_bytes(layout), layout->huge_bytes);
    if (!array->mapping)
        return BID_E_NO_MEMORY;
    int status = bid_array_populate(table, array, layout);
    return status == BID_OK ? bid_record_ready(table, array, layout->at_once) : status;
}

int bid_array_make(struct bid_table *table, const struct bid_array_plan *plan, struct bid_array **result)
{
    struct bid_array *array = bid_descriptor_take(table);
    if (!array)
        return BID_E_RETIRED;
    array->mapping = NULL;
    bid_array_shape(plan, array);
    struct bid_layout layout = bid_plan_layout(plan);
    array->record_step = layout.step_bytes / BID_RECORD_BYTES;
    array->record_capacity = layout.record_bytes / BID_RECORD_BYTES;
    bid_store(&array->bytes, layout.slot_bytes + layout.done_bytes, BID_RELAXED);
    int status = bid_array_map(table, array, &layout);
    if (status != BID_OK) {
        bid_array_free(table, array);
        return status;
    }
    uint64_t birth = bid_load(&array->life, BID_RELAXED) & ~BID_LIFE_MASK;
    bid_store(&array->life, birth | BID_LIFE_IN_USE, BID_L_RELEASE); /* (L) pairs with bid_array_is_unlinked() */
    *result = array;
    return BID_OK;
}

/* The descriptor is the caller's alone: BUILDING, FREEING, or IN USE and not published. The allocator's order of giving
 * memory back lets the child of a fork believe what it finds when another thread was at this. */
void bid_array_free(struct bid_table *table, struct bid_array *array)
{
    BID_ASSERT((bid_load(&array->life, BID_RELAXED) & BID_LIFE_MASK) != BID_LIFE_FREE);
    if (array->mapping)
        table->allocator.unmap(table->allocator.context, &array->mapping, array->mapping_bytes);
    bid_descriptor_release(array);
}
