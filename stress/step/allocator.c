/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An allocator that refuses the n-th call, for each n in turn; and the records that are there without asking it. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "table/update.h" /* to use up records */

/* ------------------------------------------------------------------------------------ the n-th call is refused -- */

static uint64_t calls, refused; /* so far; the number of the one that is refused, from 1 on; 0: none */

static void *map(void *context, size_t bytes, size_t present, size_t huge)
{
    (void)context;
    return ++calls == refused ? NULL : bid_platform_allocator.map(NULL, bytes, present, huge);
}

static int populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context;
    return ++calls == refused ? BID_E_NO_MEMORY : bid_platform_allocator.populate(NULL, address, bytes, lock);
}

static void unmap(void *context, void **address, size_t bytes)
{
    (void)context;
    bid_platform_allocator.unmap(NULL, address, bytes);
}

static const struct bid_allocator refusing = {.map = map, .populate = populate, .unmap = unmap};

/* Does the operation with its first request for memory refused, then with its second, and so on, until none is. */
static int until_done(int (*operate)(void))
{
    int status = BID_E_NO_MEMORY;
    for (refused = 1; status == BID_E_NO_MEMORY; refused++) {
        calls = 0;
        status = operate();
    }
    refused = 0;
    return status;
}

static int reserve_until_done(void)
{
    return until_done(reserve);
}

static void prepare_key_and_room(void)
{
    prepare_key();
    CHECK_STATUS(reserve(), BID_OK);
}

static int shrink_until_done(void)
{
    return until_done(shrink);
}

static int insert_until_done(void)
{
    return until_done(insert_key);
}

static int create(void)
{
    struct bid_table *table;
    struct bid_options options = {
        .size = sizeof options, .allocator = &refusing, .seed = SEED, .flags = BID_FIXED_SEED};
    int status = bid_create(&table, &options);
    bid_destroy(table);
    return status;
}

static int create_until_done(void)
{
    return until_done(create);
}

/* ------------------------------------------------------------------------------------------- no memory for pins -- */

/* Memory for a table while mmap() fails for the process. */
static _Alignas(4096) char pool[1 << 20];

static void *map_in_pool(void *context, size_t bytes, size_t present, size_t huge)
{
    static size_t used;
    (void)context, (void)present, (void)huge;
    used += (bytes + 4095) / 4096 * 4096;
    return used <= sizeof pool ? pool + used - (bytes + 4095) / 4096 * 4096 : NULL;
}

static void forget(void *context, void **address, size_t bytes)
{
    (void)context, (void)bytes;
    *address = NULL;
}

static void prepare_key_and_no_memory(void)
{
    prepare_key();
    prepare_no_memory();
}

static int create_in_pool(void)
{
    static const struct bid_allocator in_pool = {.map = map_in_pool, .populate = populate, .unmap = forget};
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .allocator = &in_pool, .flags = BID_FENCED_PINS};
    return bid_create(&table, &options);
}

/* --------------------------------------------------------------------------------------- records for removes -- */

/* Other threads have taken every place of the future array, and every record of it that is present. */
static void prepare_no_records(void)
{
    prepare_key_in_resize();
    struct bid_array *future = bid_future(stepped, bid_head(stepped));
    for (uint64_t slot = 0; slot < future->buckets * BID_BUCKET_SLOTS; slot++)
        bid_or(&bid_bucket(future->base, slot / BID_BUCKET_SLOTS)[slot % BID_BUCKET_SLOTS], BID_TAKEN, BID_RELAXED);
    bid_store(&future->record_ready, bid_load(&future->record_next, BID_RELAXED), BID_RELAXED);
}

/* Other threads have also taken the records that are set aside. */
static void prepare_none_aside(void)
{
    prepare_no_records();
    bid_store(&bid_future(stepped, bid_head(stepped))->aside, BID_REMOVES_ASIDE, BID_RELAXED);
}

/* No records, and no memory for more. The next helper gets the chunk of the key, and meets that. */
static void prepare_no_records_nor_memory(void)
{
    prepare_no_records();
    struct bid_array *head = bid_head(stepped);
    bid_store(&head->cursor, bid_sequence(head, KEY).bucket / BID_CHUNK_BUCKETS, BID_RELAXED);
    calls = 0;
    refused = 1;
}

static int remove_from_nmi(void)
{
    return bid_remove_nmi(stepped, KEY);
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options by_refusing = {.expected_entries = 1, .id_size = BID_ID_MAX, .allocator = &refusing};

const struct scenario memory_scenarios[] = {
    {"reserve-refused", "reserve, each time that another call of the allocator is refused", LIMITED, &by_refusing,
     prepare_key, reserve_until_done, 1, 1, BID_OK},
    {"shrink-refused", "the same for a shrink", LIMITED, &by_refusing, prepare_key_and_room, shrink_until_done, 1, 1,
     BID_OK},
    {"insert-refused", "the same for an insert into a full probe sequence", LIMITED, &by_refusing, prepare_full_path,
     insert_until_done, ABSENT, 5, BID_OK},
    {"create-refused", "the same for a third table", LIMITED, &small, prepare_key, create_until_done, 1, 1, BID_OK},
    {"create-no-pins", "a table in memory of its own, and no memory for its pins", LIMITED, &small,
     prepare_key_and_no_memory, create_in_pool, 1, 1, BID_E_NO_MEMORY},
    {"remove-nmi-aside", "remove for NMI context with a record set aside for it", LIMITED, &small, prepare_no_records,
     remove_from_nmi, 1, ABSENT, BID_OK},
    {"remove-nmi-none-aside", "the same without one: refused", LIMITED, &small, prepare_none_aside, remove_from_nmi, 1,
     1, BID_E_WOULD_ALLOCATE},
    {"remove-refused", "remove, which finds no memory to help with the resize", LIMITED, &by_refusing,
     prepare_no_records_nor_memory, remove_key, 1, ABSENT, BID_OK},
    {0},
};
