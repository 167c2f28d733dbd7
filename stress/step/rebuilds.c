/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Resizes that turn out otherwise: nothing to gain, no memory, no seed left, or no room in the future array. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "../common/unmix.h"
#include "table/update.h" /* to fill an array to a certain load */

/* ------------------------------------------------------------------------------------------------- shrink -- */

static int shrink_again(void)
{
    return bid_shrink(stepped);
}

static void prepare_shrunk(void)
{
    prepare_key();
    CHECK_STATUS(shrink_table(stepped), BID_OK);
}

/* One tombstone: a new array would have none, and would have the same size. */
static void prepare_shrunk_and_removed(void)
{
    prepare_key();
    CHECK_STATUS(insert(stepped, inode_key(2000), 1, 20), BID_OK);
    CHECK_STATUS(shrink_table(stepped), BID_OK);
    CHECK_STATUS(bid_remove(stepped, inode_key(2000)), BID_OK);
}

#define REPLACED 700 /* replaces: so many records serve no entry any more */

/* Inserts other keys until so many hundredths of the slots are claimed, and replaces them, which takes records
 * elsewhere. */
static void fill_and_replace(unsigned hundredths)
{
    uint8_t id[20];
    uint64_t number = 0;
    prepare_key();
    for (; bid_head(stepped)->claimed * 100 < bid_array_slots(bid_head(stepped)) * hundredths; number++)
        CHECK_STATUS(insert(stepped, inode_key(2000 + number), 1, 20), BID_OK);
    for (uint64_t i = 0; i < REPLACED; i++) {
        uint64_t key = inode_key(2000 + i % number);
        make_id(key, 1, id, sizeof id);
        CHECK_STATUS(bid_replace(stepped, key, 1, id, sizeof id), BID_OK);
    }
    CHECK(!bid_resizing(stepped));
}

/* More entries than an array of this size is made for, but few enough that one of the same size may take them. */
static void prepare_replaced(void)
{
    fill_and_replace(54);
}

static void prepare_replaced_more(void)
{
    fill_and_replace(60);
}

/* A third table, with seeds that nobody knows. */
static struct bid_table *by_chance;

static void prepare_by_chance(void)
{
    prepare_key();
    by_chance = make_table((struct bid_options){.expected_entries = 4000});
}

static int shrink_by_chance(void)
{
    return bid_shrink(by_chance);
}

static uint64_t left; /* entries of it */

/* A few removes, and it shrinks by itself. */
static void prepare_sparse_by_chance(void)
{
    prepare_key();
    by_chance = make_table((struct bid_options){0});
    while (left < 1500)
        CHECK_STATUS(insert(by_chance, inode_key(left++), 1, 20), BID_OK);
    while (bid_resizing(by_chance) || left * 16 > bid_array_slots(bid_head(by_chance)) + 32)
        CHECK_STATUS(bid_remove(by_chance, inode_key(--left)), BID_OK);
}

static int remove_by_chance(void)
{
    int status = BID_OK;
    while (status == BID_OK && !bid_resizing(by_chance))
        status = bid_remove(by_chance, inode_key(--left));
    return status;
}

/* A key of one probe sequence, under whatever seed that table has. */
static int insert_into_path(uint64_t number)
{
    uint8_t id[20] = {1};
    uint64_t key = unmix(0x5ca1ab1e00000000ull | number, bid_head(by_chance)->seed);
    return bid_insert_nmi(by_chance, key, 1, id, sizeof id);
}

static uint64_t in_path;

static void prepare_full_path_by_chance(void)
{
    prepare_key();
    by_chance = make_table((struct bid_options){.expected_entries = 300});
    while (insert_into_path(in_path) == BID_OK)
        in_path++;
}

static int insert_by_chance(void)
{
    uint64_t key = unmix(0x5ca1ab1e00000000ull | in_path, bid_head(by_chance)->seed);
    return insert(by_chance, key, 1, 20);
}

/* --------------------------------------------------------------------------------------------- no room -- */

/* Another thread builds an array that has room for the present entries only. */
static void prepare_limited(void)
{
    prepare_key();
    bid_store(&bid_head(stepped)->live_limit, bid_count(stepped), BID_RELAXED);
}

static int insert_another_from_nmi(void)
{
    uint8_t id[20] = {1};
    return bid_insert_nmi(stepped, inode_key(3000), 1, id, sizeof id);
}

/* There are slots, and no record is left. */
static void prepare_used_up_records(void)
{
    struct bid_array *head = bid_head(stepped);
    prepare_key();
    bid_store(&head->record_next, head->record_capacity, BID_RELAXED);
}

static int reserve_some(void)
{
    return bid_reserve(stepped, 80);
}

/* Shrinks the table whenever it frees an array, and so takes away the room that was reserved in the next one. */
static void unmap_and_shrink(void *context, void **address, size_t bytes)
{
    static int shrinks;
    (void)context;
    bid_platform_allocator.unmap(NULL, address, bytes);
    if (shrinks++ == 0 && stepped && bid_count(stepped))
        bid_shrink(stepped);
    shrinks--;
}

static void *map(void *context, size_t bytes, size_t present, size_t huge)
{
    (void)context;
    return bid_platform_allocator.map(NULL, bytes, present, huge);
}

static int populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context;
    return bid_platform_allocator.populate(NULL, address, bytes, lock);
}

static int reserve_more(void)
{
    return bid_reserve(stepped, 2000);
}

static const struct bid_allocator taking_room = {.map = map, .populate = populate, .unmap = unmap_and_shrink};

/* ------------------------------------------------------------------------------------------ a failed attempt -- */

/* The next insert will begin an early resize, for which there is no memory. */
static void prepare_nearly_filled(void)
{
    struct bid_array *head = bid_head(stepped);
    for (uint64_t number = 2000; (head->claimed + 1) * 10 <= bid_array_slots(head) * 7; number++)
        CHECK_STATUS(insert(stepped, inode_key(number), 1, 20), BID_OK);
    CHECK(!bid_resizing(stepped));
    prepare_no_memory();
}

static void prepare_reseeded_often(void)
{
    prepare_full_path();
    bid_head(stepped)->reseeds = 4; /* the last seeds were no better */
}

/* ---------------------------------------------------------------------------- no room in the future array -- */

/* The probe sequence of the key is full in the old array, and nothing of it is copied yet. In the future array it is
 * full of other keys, which handlers have inserted; for that the limit on early updates is raised to that of larger
 * arrays. The next helper gets the first chunk of the sequence. */
static void prepare_full_paths(void)
{
    uint8_t id[20] = {1};
    prepare_full_path();
    prepare_resize();
    struct bid_array *head = bid_head(stepped);
    bid_future(stepped, head)->early_limit = 2 * BID_SEQUENCE_SLOTS;
    for (uint64_t number = 400; bid_insert_nmi(stepped, path_key(number), 1, id, sizeof id) == BID_OK; number++)
        ;
    bid_store(&head->cursor, bid_sequence(head, KEY).bucket / BID_CHUNK_BUCKETS, BID_RELAXED);
}

static int insert_elsewhere(void)
{
    return insert(stepped, inode_key(8000), 1, 20);
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options loaded = {.expected_entries = 80, .id_size = 20};
static const struct bid_options taken = {.expected_entries = 1, .id_size = BID_ID_MAX, .allocator = &taking_room};

const struct scenario rebuild_scenarios[] = {
    {"shrink-unchanged", "shrink, when there is nothing to gain", LIMITED, &small, prepare_shrunk, shrink_again, 1, 1,
     BID_UNCHANGED},
    {"shrink-removed", "shrink that takes away a tombstone", LIMITED, &small, prepare_shrunk_and_removed, shrink_again,
     1, 1, BID_OK},
    {"shrink-replaced", "shrink of a table with many replaced records", LIMITED, &loaded, prepare_replaced,
     shrink_again, 1, 1, BID_OK},
    {"shrink-replaced-more", "the same, at a load that needs a larger array", LIMITED, &loaded, prepare_replaced_more,
     shrink_again, 1, 1, BID_OK},
    {"shrink-by-chance", "shrink of a third table, whose seeds are random", LIMITED, &small, prepare_by_chance,
     shrink_by_chance, 1, 1, BID_OK},
    {"sparse-by-chance", "removes until that table shrinks by itself", LIMITED, &small, prepare_sparse_by_chance,
     remove_by_chance, 1, 1, BID_OK},
    {"reseed-by-chance", "insert into a full probe sequence of a third table", LIMITED, &small,
     prepare_full_path_by_chance, insert_by_chance, 1, 1, BID_OK},
    {"insert-nmi-limited", "insert for NMI context beside a shrink that is being begun", LIMITED, &small,
     prepare_limited, insert_another_from_nmi, 1, 1, BID_E_WOULD_ALLOCATE},
    {"reserve-used-up", "reserve when the records are used up", LIMITED, &loaded, prepare_used_up_records, reserve_some,
     1, 1, BID_OK},
    {"reserve-taken", "reserve, while shrinks take away each array's room", LIMITED, &taken, prepare_key, reserve_more,
     1, 1, BID_E_BUSY},
    {"insert-nearly-filled", "insert, after which an early resize fails", LIMITED, &few, prepare_nearly_filled,
     insert_key, ABSENT, 5, BID_OK},
    {"insert-reseeded-often", "insert into a probe sequence that is full under many seeds", LIMITED, &few,
     prepare_reseeded_often, insert_key, ABSENT, ABSENT, BID_E_COLLISIONS},
    {"insert-full-paths", "insert into a probe sequence that is full in both arrays", LIMITED, &few, prepare_full_paths,
     insert_key, ABSENT, ABSENT, BID_E_COLLISIONS},
    {"insert-nmi-full-paths", "the same for NMI context", LIMITED, &few, prepare_full_paths, insert_from_nmi, ABSENT,
     ABSENT, BID_E_WOULD_ALLOCATE},
    {"insert-beside-full-paths", "insert of another key there", LIMITED, &few, prepare_full_paths, insert_elsewhere,
     ABSENT, ABSENT, BID_OK},
    {0},
};
