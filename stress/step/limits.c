/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations that are refused, by a limit or by the system, or that make room first. */
#define _GNU_SOURCE
#include "scenarios.h"

#include "../../tests/c/check.h"

#include <sys/resource.h>
#include <unistd.h>

/* Entries of other keys, until the table takes no more. */
static void prepare_full(void)
{
    int status = BID_OK;
    for (uint64_t number = 2000; status == BID_OK; number++)
        status = insert(stepped, inode_key(number), 1, 20);
    CHECK_STATUS(status, BID_E_MAX_ENTRIES);
}

static void prepare_key_and_full(void)
{
    prepare_key();
    prepare_full();
}

static void prepare_retired_and_full_path(void)
{
    prepare_retired();
    prepare_full_path();
}

static void prepare_key_and_retired(void)
{
    prepare_key();
    prepare_retired();
}

/* A reader stands still, and what a resize left waits for it. */
static void prepare_stalled_reader(void)
{
    let_read_for_good(stepped);
    prepare_retired_and_full_path();
}

/* A reader stands still during so many resizes that no descriptor is left for another array. */
static void prepare_no_descriptor(void)
{
    int status = BID_OK;
    prepare_key();
    let_read_for_good(stepped);
    for (uint64_t turn = 0; status == BID_OK; turn++)
        status = turn % 2 ? shrink_table(stepped) : bid_reserve(stepped, 2000);
    CHECK_STATUS(status, BID_E_RETIRED);
    CHECK(statistics(stepped).retired_arrays >= BID_RETIRED_MAX);
}

/* From now on mmap() fails: the process may not have more address space than it has. */
void prepare_no_memory(void)
{
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1 && fclose(file) == 0);
    rlim_t bytes = pages * (rlim_t)sysconf(_SC_PAGESIZE);
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) == 0);
}

static void prepare_no_room_nor_memory(void)
{
    prepare_full_path();
    prepare_no_memory();
}

static void prepare_key_and_no_memory(void)
{
    prepare_key();
    prepare_no_memory();
}

/* More than five eighths of the slots are claimed: each insert tries to make the array grow. */
static void prepare_cannot_grow(void)
{
    struct bid_stats stats;
    prepare_no_memory();
    for (uint64_t number = 2000; stats = statistics(stepped), stats.entries * 8 <= stats.slots * 5; number++)
        CHECK_STATUS(insert(stepped, inode_key(number), 1, 20), BID_OK);
}

static int reserve_more(void)
{
    return bid_reserve(stepped, 20000);
}

/* More entries than the arrays hold that are made large because many retired ones wait: a larger one is needed. */
static int reserve_most(void)
{
    return bid_reserve(stepped, 1000000);
}

static int create_another(void)
{
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .expected_entries = 20000};
    return bid_create(&table, &options);
}

static const struct bid_options at_most = {.expected_entries = 100, .max_entries = 300, .id_size = 20};
static const struct bid_options in_retired_bytes = {.expected_entries = 1, .retired_limit = 1};
static const struct bid_options without_limit = {.expected_entries = 1, .retired_limit = UINT64_MAX};

const struct scenario limit_scenarios[] = {
    {"insert-max-entries", "insert, refused by the limit on entries", LIMITED, &at_most, prepare_full, insert_key,
     ABSENT, ABSENT, BID_E_MAX_ENTRIES},
    {"insert-nmi-max-entries", "insert for NMI context, refused by the limit on entries", LIMITED, &at_most,
     prepare_full, insert_from_nmi, ABSENT, ABSENT, BID_E_MAX_ENTRIES},
    {"replace-max-entries", "replace in a table that is full", LIMITED, &at_most, prepare_key_and_full, replace_key, 1,
     5, BID_OK},
    {"reserve-max-entries", "reserve, refused by the limit on entries", LIMITED, &at_most, prepare_key, reserve_more, 1,
     1, BID_E_MAX_ENTRIES},
    {"shrink-max-entries", "shrink of a table that is full", LIMITED, &at_most, prepare_key_and_full, shrink, 1, 1,
     BID_OK},
    {"insert-reclaims", "insert that frees a retired array first", LIMITED, &in_retired_bytes,
     prepare_retired_and_full_path, insert_key, ABSENT, 5, BID_OK},
    {"reserve-reclaims", "reserve that frees a retired array first", LIMITED, &in_retired_bytes,
     prepare_key_and_retired, reserve_more, 1, 1, BID_OK},
    {"insert-stalled-reader", "insert, refused for what waits for a reader", LIMITED, &in_retired_bytes,
     prepare_stalled_reader, insert_key, ABSENT, ABSENT, BID_E_RETIRED},
    {"reserve-no-descriptor", "reserve, refused for as many arrays as can wait", LIMITED, &without_limit,
     prepare_no_descriptor, reserve_most, 1, 1, BID_E_RETIRED},
    {"insert-no-memory", "insert, when another array cannot be mapped", LIMITED, &few, prepare_no_room_nor_memory,
     insert_key, ABSENT, ABSENT, BID_E_NO_MEMORY},
    {"insert-cannot-grow", "insert, which does without the array that it wants", LIMITED, &few, prepare_cannot_grow,
     insert_key, ABSENT, 5, BID_OK},
    {"create-no-memory", "a table that cannot be mapped", LIMITED, &small, prepare_key_and_no_memory, create_another, 1,
     1, BID_E_NO_MEMORY},
    {0},
};
