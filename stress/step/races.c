/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What another thread or a handler may do between two instructions of an operation, other than update its key. It is
 * done at each instruction, or at each at which the table is in a certain state. Both operations must return what they
 * would have returned one after the other.
 */
#include "collide.h"
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "table/update.h" /* to see in which state the table is */

/* ------------------------------------------------------------------------------------------- other keys -- */

static int insert_neighbour(void)
{
    uint8_t id[20];
    make_id(path_key(500), 1, id, sizeof id);
    return bid_insert_nmi(stepped, path_key(500), 1, id, sizeof id);
}

#define FILLED_BY 200 /* more entries than there are slots in the array that shrink() makes in its scenario */

static void *fill(void *status)
{
    *(int *)status = BID_OK;
    for (uint64_t number = 0; number < FILLED_BY && *(int *)status == BID_OK; number++)
        *(int *)status = insert(stepped, inode_key(7000 + number), 1, 20);
    return NULL;
}

static int fill_by_another(void)
{
    return in_another_thread(fill);
}

/* The stepped thread has chosen the size of a new array, and has not published the array yet. */
static int is_building(void)
{
    return !bid_resizing(stepped) && bid_head(stepped)->live_limit != UINT64_MAX;
}

/* -------------------------------------------------------------------------------------------- the resize -- */

/* Inserts keys until the next insert will begin a resize. */
static void prepare_brink(void)
{
    struct bid_array *head = bid_head(stepped);
    for (uint64_t number = 2000; (head->claimed + 1) * 10 <= bid_array_slots(head) * 7; number++)
        CHECK_STATUS(insert(stepped, inode_key(number), 1, 20), BID_OK);
}

static void *begin(void *status)
{
    *(int *)status = insert(stepped, inode_key(7000), 1, 20);
    return NULL;
}

/* The other thread begins a resize, and leaves it there. */
static int begin_by_another(void)
{
    return in_another_thread(begin);
}

/* The stepped thread has not looked yet for a future of the array; or it has given it one, and has not set LEFT yet. */
static int is_about_to_leave(void)
{
    if (!bid_resizing(stepped))
        return judge_instructions() < 1300;
    return has_not_left();
}

/* A resize whose chunks have all been taken by threads that do not go on. */
static void prepare_handed_out(void)
{
    prepare_resize();
    struct bid_array *head = bid_head(stepped);
    bid_store(&head->cursor, head->chunks, BID_RELAXED);
}

static void *finish(void *status)
{
    *(int *)status = bid_reserve(stepped, 0);
    return NULL;
}

static int finish_by_another(void)
{
    return in_another_thread(finish);
}

/* The update is still helping with the resize, which it does first. */
static int is_early(void)
{
    return judge_instructions() < 800;
}

/* --------------------------------------------------------------------------------------- the last record -- */

static void tombstone(uint64_t key)
{
    CHECK_STATUS(insert(stepped, key, 1, 20), BID_OK);
    CHECK_STATUS(bid_remove(stepped, key), BID_OK);
}

/* Two keys have tombstones, so an insert of either takes a record elsewhere; only one such record is present. */
static void prepare_last_present(void)
{
    tombstone(KEY);
    tombstone(path_key(500));
    bid_store(&bid_head(stepped)->record_ready, bid_head(stepped)->record_next + stepped->record_units, BID_RELAXED);
}

static int replace_steady(void)
{
    uint8_t id[20];
    make_id(inode_key(0), 1, id, sizeof id);
    return bid_replace(stepped, inode_key(0), 1, id, sizeof id);
}

static void *replace_another(void *status)
{
    *(int *)status = replace_steady();
    return NULL;
}

static int replace_by_another(void)
{
    return in_another_thread(replace_another);
}

/* Uses up records by replaces, until one is left. */
static void prepare_last_record(void)
{
    prepare_key();
    while (bid_head(stepped)->record_next + 2 * stepped->record_units <= bid_head(stepped)->record_capacity)
        CHECK_STATUS(replace_steady(), BID_OK);
    CHECK(!bid_resizing(stepped));
}

static int has_a_record(void)
{
    return !bid_resizing(stepped) && judge_instructions() < 1500;
}

/* --------------------------------------------------------------------------------------- inodes and pins -- */

static void *evict_another(void *status)
{
    *(int *)status = evict();
    return NULL;
}

static int evict_by_another(void)
{
    return in_another_thread(evict_another);
}

static int create_fenced(void)
{
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .flags = BID_FENCED_PINS};
    int status = bid_create(&table, &options);
    bid_destroy(table);
    return status;
}

/* The stepped thread has allocated the table, and makes or looks for the fenced pins. */
static int is_among_pins(void)
{
    return judge_instructions() >= 500 && judge_instructions() < 1200;
}

static void *create_another(void *status)
{
    *(int *)status = create_fenced();
    return NULL;
}

static int create_by_another(void)
{
    return in_another_thread(create_another);
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options narrow = {.expected_entries = 1, .id_size = 20};

const struct scenario race_scenarios[] = {
    {"insert-overtaken", "insert, beside one of another key of the probe sequence", RACED, &roomy, NULL, insert_key,
     ABSENT, 5, BID_OK},
    {"insert-nmi-overtaken", "the same for NMI context across a resize", RACED, &small, prepare_resize, insert_from_nmi,
     ABSENT, 5, BID_OK},
    {"shrink-filled", "shrink, while others fill the table", RACED, &few, prepare_key, shrink, 1, 1, BID_OK},
    {"insert-begun", "insert, beside one that begins a resize", RACED, &few, prepare_brink, insert_key, ABSENT, 5,
     BID_OK},
    {"reserve-left", "reserve, beside another that says that the array has been left", RACED, &small, prepare_not_left,
     reserve, 1, 1, BID_OK},
    {"insert-finished", "insert, beside the end of the resize", RACED, &small, prepare_handed_out, insert_key, ABSENT,
     5, BID_OK},
    {"insert-nmi-last-record", "insert for NMI context, and another takes the last record", RACED, &narrow,
     prepare_last_present, insert_from_nmi, ABSENT, 5, BID_OK},
    {"replace-last-record", "replace, and another takes the last record of the array", RACED, &narrow,
     prepare_last_record, replace_key, 1, 5, BID_OK},
    {"associate-evicted-meanwhile", "a build ID for an inode that goes meanwhile", RACED, &roomy, prepare_living_inode,
     associate, ABSENT, 5, BID_OK},
    {"create-fenced-twice", "the first table with fenced pins, by two threads", RACED, &roomy, prepare_key,
     create_fenced, 1, 1, BID_OK},
    {0},
};

static const struct race races[] = {
    {insert_neighbour, NULL},         {insert_neighbour, NULL},
    {fill_by_another, is_building},   {begin_by_another, is_about_to_leave},
    {begin_by_another, has_not_left}, {finish_by_another, is_early},
    {insert_neighbour, NULL},         {replace_by_another, has_a_record},
    {evict_by_another, NULL},         {create_by_another, is_among_pins},
};
_Static_assert(sizeof races / sizeof races[0] + 1 == sizeof race_scenarios / sizeof race_scenarios[0],
               "each scenario here has its race");

const struct race *race_of(const struct scenario *scenario)
{
    return &races[scenario - race_scenarios];
}
