/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Bucket arrays: made and freed.
 *
 * One mapping each: buckets, then records elsewhere, then the bitmap of done chunks. Buckets and bitmap are populated
 * for writing before the array is published, so that no lookup ever takes a page fault; records elsewhere a step ahead
 * of their use.
 */
#include "update.h"

/* Huge pages: those that lie wholly in what is populated at once; from this size of the buckets on all of the array,
 * for what that rounds up is then small beside it. */
#define BID_HUGE_PAGE (2ull << 20)
#define BID_HUGE_BUCKET_BYTES (16ull << 20)
#define BID_STEP_MIN (16ull << 10) /* each step is a system call */
#define BID_STEP_MAX (64ull << 10)

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
    return (bid_size_buckets(plan->size) + BID_CHUNK_BUCKETS - 1) / BID_CHUNK_BUCKETS;
}

static void bid_array_shape(const struct bid_array_plan *plan, struct bid_array *array)
{
    array->size = plan->size;
    array->buckets = bid_size_buckets(plan->size);
    array->seed = plan->seed;
    array->chunks = bid_plan_chunks(plan);
    array->reseeds = plan->reseeds;
    array->record_copies = plan->copies;
    array->early_limit = plan->early;
    bid_store(&array->future, 0, BID_RELAXED);
    bid_store(&array->moved, 0, BID_RELAXED);
    bid_store(&array->aside, 0, BID_RELAXED);
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
    uint64_t bucket_bytes, record_bytes, done_bytes, step_bytes;
    uint64_t huge_bytes; /* at the front */
    uint64_t at_once;    /* bytes of records that are populated when the array is made */
};

static struct bid_layout bid_plan_layout(const struct bid_array_plan *plan)
{
    uint64_t page = bid_platform_page(), records = plan->capacity * BID_RECORD_BYTES;
    uint64_t buckets = bid_size_buckets(plan->size) * BID_BUCKET_BYTES;
    struct bid_layout layout = {.bucket_bytes = bid_round_up(buckets, page)};
    int huge = buckets >= BID_HUGE_BUCKET_BYTES;
    uint64_t step = records / 32 < BID_STEP_MAX ? records / 32 : BID_STEP_MAX;
    if (step < BID_STEP_MIN)
        step = records < BID_STEP_MIN ? records : BID_STEP_MIN;
    layout.step_bytes = huge ? BID_HUGE_PAGE : bid_round_up(step, page);
    layout.record_bytes = bid_round_up(records, layout.step_bytes);
    layout.done_bytes = bid_round_up((bid_plan_chunks(plan) + 63) / 64 * sizeof(bid_word), page);
    layout.at_once = bid_round_up(plan->at_once * BID_RECORD_BYTES, layout.step_bytes);
    uint64_t at_once = (layout.bucket_bytes + layout.at_once) / BID_HUGE_PAGE * BID_HUGE_PAGE;
    layout.huge_bytes = huge ? layout.bucket_bytes + layout.record_bytes : at_once;
    return layout;
}

static uint64_t bid_layout_bytes(const struct bid_layout *layout)
{
    return layout->bucket_bytes + layout->at_once + layout->done_bytes;
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
    array->base = array->mapping;
    array->done = (bid_word *)(array->base + layout->bucket_bytes + layout->record_bytes);
    int status = bid_populate(table, array->base, layout->bucket_bytes);
    if (status == BID_OK)
        status = bid_populate(table, array->done, layout->done_bytes);
    if (status == BID_OK && array->chunks % 64) /* bits that stand for no chunk are done */
        bid_store(&array->done[array->chunks / 64], ~0ull << array->chunks % 64, BID_RELAXED);
    return status;
}

/* Maps and populates an array, with the records elsewhere that a resize is likely to need in it and some to spare: so
 * it is not left half done for want of memory. */
static int bid_array_map(struct bid_table *table, struct bid_array *array, const struct bid_layout *layout)
{
    const struct bid_allocator *allocator = &table->allocator;
    array->mapping_bytes = layout->bucket_bytes + layout->record_bytes + layout->done_bytes;
    array->mapping =
        allocator->map(allocator->context, array->mapping_bytes, bid_layout_bytes(layout), layout->huge_bytes);
    if (!array->mapping)
        return BID_E_NO_MEMORY;
    int status = bid_array_populate(table, array, layout);
    if (status != BID_OK)
        return status;
    return bid_record_ready(table, array, array->record_first + layout->at_once / BID_RECORD_BYTES);
}

/* Elsewhere, the first records are those set aside for removes. */
static void bid_array_records(const struct bid_table *table, const struct bid_layout *layout, struct bid_array *array)
{
    array->record_step = layout->step_bytes / BID_RECORD_BYTES;
    array->record_first = layout->bucket_bytes / BID_RECORD_BYTES;
    array->record_capacity = array->record_first + layout->record_bytes / BID_RECORD_BYTES;
    bid_store(&array->record_next, array->record_first + BID_REMOVES_ASIDE * table->record_units, BID_RELAXED);
    bid_store(&array->record_ready, array->record_first, BID_RELAXED);
}

int bid_array_make(struct bid_table *table, const struct bid_array_plan *plan, struct bid_array **result)
{
    struct bid_array *array = bid_descriptor_take(table);
    if (!array)
        return BID_E_RETIRED;
    array->mapping = NULL;
    bid_array_shape(plan, array);
    struct bid_layout layout = bid_plan_layout(plan);
    bid_array_records(table, &layout, array);
    bid_store(&array->bytes, layout.done_bytes, BID_RELAXED);
    int status = bid_array_map(table, array, &layout);
    if (status != BID_OK) {
        bid_array_free(table, array);
        return status;
    }
    array->word = bid_head_word((uintptr_t)array->base, (uint64_t)(array - table->arrays), array->size);
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
