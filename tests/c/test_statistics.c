/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Statistics of states that are known, bid_keys() with too little room, and what is refused. */
#include "check.h"
#include "update.h"

#include <unistd.h>

#define ENTRIES 1000

static struct bid_table *table_with_entries(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < ENTRIES; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    return table;
}

/* One thread has looked up; a bucket of eight slots has 256 bytes, and records elsewhere are populated by whole
 * pages. */
static void quiet(void)
{
    struct bid_table *table = table_with_entries();
    struct bid_stats stats = statistics(table);
    CHECK(stats.pin_slots_used == 1 && stats.entries == ENTRIES && !stats.resizing);
    CHECK(stats.bytes_slots == 32 * 2048);
    CHECK(stats.bytes_records > 0 && stats.bytes_records % (uint64_t)sysconf(_SC_PAGESIZE) == 0);
    CHECK(stats.bytes_retired == 0 && stats.retired_arrays == 0);
    bid_destroy(table);
}

/* Both arrays count while a resize stands half done. */
static void half_done(void)
{
    struct bid_table *table = table_with_entries();
    for (uint64_t i = ENTRIES; !bid_resizing(table); i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    struct bid_stats stats = statistics(table);
    CHECK(stats.resizing && stats.resizes == 0 && stats.resize_begun[BID_RESIZE_GROW] == 1);
    CHECK(stats.slots == 2048 && stats.bytes_slots == 32 * (2048 + 2944));
    bid_destroy(table);
}

/* An array that was left counts as retired for as long as a reader is in it. */
static int grow_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct bid_table *table = argument;
    (void)key, (void)status, (void)id;
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    struct bid_stats stats = statistics(table);
    CHECK(stats.retired_arrays == 1 && stats.bytes_retired >= 32 * 2048);
    CHECK(bid_reclaim(table) == stats.bytes_retired);
    return 1;
}

static void retired(void)
{
    struct bid_table *table = table_with_entries();
    CHECK(bid_iterate(table, grow_inside, table) == 1);
    CHECK(bid_reclaim(table) == 0 && statistics(table).retired_arrays == 0);
    bid_destroy(table);
}

/* All are counted, and no more are written than there is room for. */
static void keys_without_room(void)
{
    struct bid_table *table = table_with_entries();
    uint64_t keys[10 + 1];
    keys[10] = 7;
    CHECK(bid_keys(table, keys, 10) == ENTRIES && keys[10] == 7);
    CHECK(bid_keys(table, NULL, 10) == ENTRIES);
    bid_destroy(table);
}

static void refused(void)
{
    struct bid_table *table = make_table((struct bid_options){0});
    struct bid_stats stats = {.size = 7};
    CHECK_STATUS(bid_statistics(table, &stats), BID_E_OPTIONS);
    stats.size = 4097;
    CHECK_STATUS(bid_statistics(table, &stats), BID_E_OPTIONS);
    CHECK_STATUS(bid_statistics(table, NULL), BID_E_NULL);
    CHECK_STATUS(bid_statistics(NULL, &stats), BID_E_NULL);
    CHECK_STATUS(bid_iterate(table, NULL, NULL), BID_E_NULL);
    bid_destroy(table);
    static const struct {
        struct bid_options options;
        int status;
    } cases[] = {
        {{.size = 7}, BID_E_OPTIONS},
        {{.size = 4097}, BID_E_OPTIONS},
        {{.size = sizeof(struct bid_options), .flags = 1u << 31}, BID_E_OPTIONS},
        {{.size = sizeof(struct bid_options), .seed = 1}, BID_E_OPTIONS},
        {{.size = sizeof(struct bid_options), .id_size = 65}, BID_E_OPTIONS},
        {{.size = sizeof(struct bid_options), .expected_entries = 2, .max_entries = 1}, BID_E_OPTIONS},
        {{.size = sizeof(struct bid_options), .expected_entries = (1ull << 32) + 1}, BID_E_TOO_MANY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        table = (struct bid_table *)&stats;
        CHECK_STATUS(bid_create(&table, &cases[i].options), cases[i].status);
        CHECK(!table);
    }
    CHECK_STATUS(bid_create(NULL, NULL), BID_E_NULL);
}

/* A caller who knows fewer fields gets zeros for the others; one who knows more may set none of those. */
static void options_of_another_size(void)
{
    struct {
        struct bid_options known;
        uint64_t more[3];
    } larger = {.known = {.size = sizeof larger, .id_size = 33}};
    struct bid_table *table;
    CHECK_STATUS(bid_create(&table, &larger.known), BID_OK);
    CHECK_STATUS(insert(table, 1, 1, 33), BID_OK);
    bid_destroy(table);
    larger.more[2] = 1ull << 63;
    CHECK_STATUS(bid_create(&table, &larger.known), BID_E_OPTIONS);
    larger.known.size -= sizeof larger.more[2];
    CHECK_STATUS(bid_create(&table, &larger.known), BID_OK);
    bid_destroy(table);

    struct bid_options smaller; /* what is beyond its size is not looked at */
    memset(&smaller, 0xff, sizeof smaller);
    smaller.size = offsetof(struct bid_options, max_entries);
    smaller.expected_entries = 10;
    CHECK_STATUS(bid_create(&table, &smaller), BID_OK);
    CHECK(statistics(table).slots == 128);
    CHECK_STATUS(insert(table, 1, 1, 21), BID_E_ID_LENGTH);
    smaller.size = sizeof smaller.size;
    bid_destroy(table);
    CHECK_STATUS(bid_create(&table, &smaller), BID_OK);
    CHECK(statistics(table).slots == 2048);
    bid_destroy(table);
}

static void statistics_of_another_size(void)
{
    struct bid_table *table = table_with_entries();
    struct {
        struct bid_stats known;
        uint64_t more[2];
    } stats;
    memset(&stats, 0xff, sizeof stats);
    stats.known.size = sizeof stats - sizeof stats.more[1];
    CHECK_STATUS(bid_statistics(table, &stats.known), BID_OK);
    CHECK(stats.known.entries == ENTRIES && stats.more[0] == 0 && stats.more[1] == UINT64_MAX);
    memset(&stats, 0xff, sizeof stats);
    stats.known.size = offsetof(struct bid_stats, tombstones);
    CHECK_STATUS(bid_statistics(table, &stats.known), BID_OK);
    CHECK(stats.known.entries == ENTRIES && stats.known.tombstones == UINT64_MAX);
    bid_destroy(table);
}

/* What a table was made for lasts until bid_shrink(), and what no table can hold is refused. */
static void reserved(void)
{
    struct bid_table *table = table_with_entries();
    CHECK_STATUS(bid_reserve(table, (1ull << 32) + 1), BID_E_TOO_MANY);
    CHECK_STATUS(bid_reserve(table, 100000), BID_OK);
    CHECK(statistics(table).slots * 7 / 10 >= 100000);
    CHECK_STATUS(bid_shrink(table), BID_OK);
    CHECK(statistics(table).slots == 2048); /* of which the entries fill less than 13/25 */
    for (uint64_t i = 0; i < 20000; i++)    /* room that was given up does not come back */
        CHECK(insert(table, inode_key(ENTRIES), 1, 20) == BID_OK && bid_remove(table, inode_key(ENTRIES)) == BID_OK);
    CHECK(statistics(table).slots == 2048);
    bid_destroy(table);
}

/* A fence is what lookups of such a table have to have: they do not take the form without one. */
static void fenced(void)
{
    struct bid_table *table = make_table((struct bid_options){.flags = BID_FENCED_PINS, .id_size = 20});
    CHECK(table->pins->fenced && !table->simple_pins && !statistics(table).membarrier);
    bid_destroy(table);
    table = make_table((struct bid_options){.id_size = 20});
    CHECK((table->simple_pins == NULL) == table->pins->fenced);
    bid_destroy(table);
}

static void replace_all(struct bid_table *table, uint64_t entries)
{
    uint8_t id[20] = {1};
    for (uint64_t i = 0; i < entries; i++)
        CHECK(bid_upsert(table, inode_key(i), 0, id, sizeof id) >= 0);
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(bid_replace(table, inode_key(i), 0, id, 20), BID_OK);
}

/* bid_shrink() says whether it did something, and does where memory can be had: also above the load of a new
 * array, where one that is free of used-up records has more slots. */
static void shrink_says_what_it_did(void)
{
    for (uint64_t entries = 16000; entries <= 20000; entries += 1000) {
        struct bid_table *table = make_table((struct bid_options){0});
        replace_all(table, entries);
        struct bid_stats before = statistics(table);
        CHECK(before.bytes_records > 32 * entries);
        CHECK_STATUS(bid_shrink(table), BID_OK);
        struct bid_stats after = statistics(table);
        CHECK(after.resizes == before.resizes + 1 && after.bytes_records < 10 * entries);
        CHECK(after.bytes_slots + after.bytes_records < before.bytes_slots + before.bytes_records);
        CHECK_STATUS(bid_shrink(table), BID_UNCHANGED);
        CHECK(statistics(table).resizes == after.resizes);
        bid_destroy(table);
    }
}

/* Also where the array stays as large as it is, and only the records of the reserved room go. */
static void shrink_gives_up_what_was_reserved(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < 16500; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK_STATUS(bid_reserve(table, 0), BID_OK); /* finishes the resize */
    struct bid_stats before = statistics(table);
    CHECK_STATUS(bid_reserve(table, before.slots * 7 / 10), BID_OK);
    struct bid_stats reserved = statistics(table);
    CHECK(reserved.slots == before.slots && reserved.bytes_records > before.bytes_records);
    CHECK_STATUS(bid_shrink(table), BID_OK);
    CHECK(statistics(table).slots == before.slots && statistics(table).bytes_records <= before.bytes_records);
    CHECK_STATUS(bid_shrink(table), BID_UNCHANGED);
    bid_destroy(table);
}

int main(void)
{
    shrink_says_what_it_did();
    shrink_gives_up_what_was_reserved();
    reserved();
    fenced();
    quiet();
    half_done();
    retired();
    keys_without_room();
    refused();
    options_of_another_size();
    statistics_of_another_size();
    return 0;
}
