/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations in their less usual forms: long and empty IDs, fenced pins, rejected arguments. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "table/hash.h"
#include "table/table.h" /* to see when records are used up, and what a resize has copied */

#define LONG BID_ID_MAX

static uint64_t others; /* keys that were inserted beside those that stay */

/* ----------------------------------------------------------------------------------------------- updates -- */

#define MANY 4

static int insert_many_of_all_lengths(void)
{
    const uint8_t lengths[MANY] = {20, LONG, 0, BID_LENGTH_NO_BUILD_ID};
    uint64_t keys[MANY];
    uint8_t ids[MANY][LONG];
    size_t new_entries;
    for (uint64_t i = 0; i < MANY; i++) {
        keys[i] = inode_key(3000 + i);
        make_id(keys[i], 0, ids[i], sizeof ids[i]);
    }
    EXPECT(bid_insert_many(stepped, keys, MANY, ids[0], sizeof ids[0], lengths, &new_entries), BID_OK);
    EXPECT((int)new_entries, MANY);
    return bid_insert_many(stepped, keys, MANY, ids[0], 10, lengths,
                           &new_entries); /* the second length is more than a row has */
}

#define AHEAD 12 /* more keys than bid_insert_many() fetches in advance */

static int insert_many_ahead(void)
{
    uint64_t keys[AHEAD];
    uint8_t ids[AHEAD][20];
    for (uint64_t i = 0; i < AHEAD; i++) {
        keys[i] = inode_key(3000 + i);
        make_id(keys[i], 0, ids[i], sizeof ids[i]);
    }
    return bid_insert_many(stepped, keys, AHEAD, ids[0], sizeof ids[0], NULL, NULL);
}

/* Uses up all records by replaces: the next one finds none. */
static void prepare_used_up(void)
{
    prepare_key();
    while (bid_head(stepped)->record_next < bid_head(stepped)->record_capacity) {
        uint8_t id[20];
        make_id(KEY, 1, id, sizeof id);
        CHECK_STATUS(bid_replace(stepped, KEY, 1, id, sizeof id), BID_OK);
        CHECK(!bid_resizing(stepped));
    }
}

#define GROWN 1500 /* entries: a table has grown for so many */

static void prepare_grown(void)
{
    prepare_key();
    while (others < GROWN)
        CHECK_STATUS(insert(stepped, inode_key(2000 + others++), 1, 20), BID_OK);
    while (bid_resizing(stepped) || bid_count(stepped) * 16 > bid_head(stepped)->buckets * BID_BUCKET_SLOTS + 32)
        CHECK_STATUS(bid_remove(stepped, inode_key(2000 + --others)), BID_OK);
}

/* As prepare_grown(), with a reader for which the arrays that the table has left must wait. */
static void prepare_grown_with_reader(void)
{
    let_read_for_good(stepped);
    prepare_grown();
}

/* Removes other keys until the table has shrunk by itself. */
static int remove_until_idle(void)
{
    uint64_t resizes = bid_resizes(stepped);
    int status = BID_OK;
    while (status == BID_OK && others && bid_resizes(stepped) == resizes)
        status = bid_remove(stepped, inode_key(2000 + --others));
    return others ? status : BID_E_NULL;
}

static int remove_until_resizing(void)
{
    int status = BID_OK;
    while (status == BID_OK && others && !bid_resizing(stepped))
        status = bid_remove(stepped, inode_key(2000 + --others));
    return others ? status : BID_E_NULL;
}

/* A shrink stands half done, and its array has another seed. The key is there already. */
static void prepare_key_in_shrink(void)
{
    prepare_grown();
    CHECK_STATUS(remove_until_resizing(), BID_OK);
    const struct bid_array *head = bid_head(stepped);
    while (bid_sequence(head, KEY).bucket >= bid_load(&head->moved, BID_RELAXED))
        CHECK_STATUS(bid_remove(stepped, inode_key(2000 + --others)), BID_OK);
    CHECK(bid_resizing(stepped));
}

static int reserve_huge(void)
{
    return bid_reserve(stepped, 1500000); /* so many that the table asks for huge pages, and how much memory there is */
}

/* bid_reserve() may return BID_E_BUSY if handlers resize the table at each of its attempts. */
static int reserve_beside_others(void)
{
    int status = reserve();
    return status == BID_E_BUSY && judged->updated_at ? BID_OK : status;
}

static int update_and_reclaim(void)
{
    EXPECT(insert_key(), BID_OK);
    EXPECT(reserve_beside_others(), BID_OK);
    EXPECT(read_statistics(), BID_OK);
    return bid_reclaim(stepped) ? BID_E_RETIRED : BID_OK;
}

static const struct bid_options observed = {.expected_entries = 1, .id_size = BID_ID_MAX, .flavor = &bid_flavor_shared};

static void prepare_observed(void)
{
    prepare_key();
    prepare_retired();
}

/* Observes a grace period. There are no readers elsewhere, so it is over at once. */
static int observe_and_reclaim(void)
{
    bid_grace_end(stepped, bid_grace_begin(stepped));
    EXPECT((int)bid_reclaim(stepped), 0);
    return bid_grace_begin(stepped) ? BID_E_RETIRED : BID_OK; /* there is nothing left to observe for */
}

/* --------------------------------------------------------------------------------- create, and arguments -- */

static int create_with(struct bid_options options)
{
    struct bid_table *table;
    options.size = sizeof options;
    int status = bid_create(&table, &options);
    if (status == BID_OK)
        status = insert(table, KEY, 1, 20);
    bid_destroy(table);
    return status;
}

/* The first table of the process with fenced pins: it makes these pins. */
static int create_fenced(void)
{
    int status = create_with((struct bid_options){.max_entries = 1 << 20, .flags = BID_FENCED_PINS | BID_MLOCK});
    return status == BID_E_MLOCK ? BID_OK : status; /* RLIMIT_MEMLOCK forbids it */
}

static int create_by_default(void)
{
    struct bid_table *table;
    EXPECT(bid_create(&table, NULL), BID_OK);
    bid_destroy(table);
    return BID_OK;
}

static int reject_options(void)
{
    struct bid_options wrong_size = {.size = 1};
    struct {
        struct bid_options known;
        uint64_t unknown;
    } later = {{.size = sizeof later}, 1};
    struct bid_allocator none = {0};
    struct bid_table *table;
    EXPECT(bid_create(&table, &later.known), BID_E_OPTIONS);
    EXPECT(create_with((struct bid_options){.allocator = &none}), BID_E_NULL);
    EXPECT(bid_create(NULL, NULL), BID_E_NULL);
    EXPECT(bid_create(&table, &wrong_size), BID_E_OPTIONS);
    EXPECT(create_with((struct bid_options){.flags = 1u << 31}), BID_E_OPTIONS);
    EXPECT(create_with((struct bid_options){.id_size = LONG + 1}), BID_E_OPTIONS);
    EXPECT(create_with((struct bid_options){.seed = 1}), BID_E_OPTIONS);
    EXPECT(create_with((struct bid_options){.expected_entries = UINT64_MAX}), BID_E_TOO_MANY);
    return create_with((struct bid_options){.expected_entries = 1000, .max_entries = 999});
}

static int reject_arguments(void)
{
    struct bid_stats stats = {.size = 1};
    EXPECT((int)bid_version(), BID_VERSION);
    EXPECT(bid_insert(NULL, KEY, 1, NULL, 0), BID_E_NULL);
    EXPECT(bid_insert(stepped, KEY, 1, "", LONG + 1), BID_E_ID_LENGTH);
    EXPECT(bid_insert(stepped, KEY, 1, NULL, 1), BID_E_NULL);
    EXPECT(bid_insert_nmi(NULL, KEY, 1, NULL, 0), BID_E_NULL);
    EXPECT(bid_insert_nmi(stepped, KEY, 1, NULL, 1), BID_E_NULL);
    EXPECT(bid_insert_nmi(stepped, KEY, 1, "", LONG + 1), BID_E_ID_LENGTH);
    EXPECT(bid_replace(NULL, KEY, 1, NULL, 0), BID_E_NULL);
    EXPECT(bid_replace(stepped, KEY, 1, NULL, 1), BID_E_NULL);
    EXPECT(bid_replace(stepped, KEY, 1, "", LONG + 1), BID_E_ID_LENGTH);
    EXPECT(bid_upsert(NULL, KEY, 1, NULL, 0), BID_E_NULL);
    EXPECT(bid_upsert(stepped, KEY, 1, NULL, 1), BID_E_NULL);
    EXPECT(bid_upsert(stepped, KEY, 1, "", LONG + 1), BID_E_ID_LENGTH);
    EXPECT(bid_insert_many(stepped, NULL, 0, NULL, 0, NULL, NULL), BID_OK);
    EXPECT(bid_insert_many(NULL, NULL, 0, NULL, 0, NULL, NULL), BID_E_NULL);
    EXPECT(bid_insert_many(stepped, NULL, 1, NULL, 20, NULL, NULL), BID_E_NULL);
    EXPECT(bid_remove(NULL, KEY), BID_E_NULL);
    EXPECT(bid_remove_nmi(NULL, KEY), BID_E_NULL);
    EXPECT(bid_remove_generation(NULL, KEY, 1), BID_E_NULL);
    EXPECT(bid_reserve(NULL, 1), BID_E_NULL);
    EXPECT(bid_reserve(stepped, UINT64_MAX), BID_E_TOO_MANY);
    EXPECT(bid_shrink(NULL), BID_E_NULL);
    EXPECT(bid_iterate(NULL, count_entries, NULL), BID_E_NULL);
    EXPECT(bid_iterate(stepped, NULL, NULL), BID_E_NULL);
    EXPECT(bid_statistics(NULL, &stats), BID_E_NULL);
    EXPECT(bid_statistics(stepped, NULL), BID_E_NULL);
    EXPECT(bid_statistics(stepped, &stats), BID_E_OPTIONS);
    EXPECT((int)bid_grace_begin(NULL), 0);
    EXPECT((int)bid_grace_begin(stepped), 0);
    EXPECT(bid_inode_associate(NULL, NULL, NULL, 0), BID_E_NULL);
    EXPECT(bid_inode_evict(NULL, NULL), BID_E_NULL);
    bid_destroy(NULL);
    EXPECT(strcmp(bid_status_name(1000), "BID_E_?"), 0);
    return bid_status_text(BID_E_NULL) == bid_status_text(1000) ? BID_E_NULL : BID_OK;
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options fenced = {.expected_entries = 1, .id_size = LONG, .flags = BID_FENCED_PINS};
static const struct bid_options narrow = {.expected_entries = 1, .id_size = 20}; /* with fewer records */

const struct scenario form_scenarios[] = {
    {"insert-fenced", "fenced pins: insert, resize, reclaim", COMPOUND, &fenced, NULL, update_and_reclaim, ABSENT, 5,
     BID_OK},
    {"insert-many-lengths", "insert of a batch of IDs of all lengths", PLAIN, &roomy, prepare_key,
     insert_many_of_all_lengths, 1, 1, BID_E_ID_LENGTH},
    {"insert-many-ahead", "insert of a batch of which some are fetched ahead", PLAIN, &roomy, prepare_key,
     insert_many_ahead, 1, 1, BID_OK},
    {"insert-many-resizing", "the same across a resize", COMPOUND, &small, prepare_key_in_resize, insert_many_ahead, 1,
     1, BID_OK},
    {"replace-used-up", "replace when the records are used up", PLAIN, &narrow, prepare_used_up, replace_key, 1, 5,
     BID_OK},
    {"shrink-idle", "removes until the table shrinks by itself", PLAIN, &small, prepare_grown, remove_until_idle, 1, 1,
     BID_OK},
    {"shrink-idle-waiting", "the beginning of that while arrays wait for a reader", LIMITED, &small,
     prepare_grown_with_reader, remove_until_resizing, 1, 1, BID_OK},
    {"lookup-hit-shrinking", "lookup across a shrink, present", PLAIN, &small, prepare_key_in_shrink, look_up, 1, 1,
     BID_OK},
    {"reserve-huge", "reserve of so much that huge pages are asked for", LIMITED, &small, prepare_key, reserve_huge, 1,
     1, BID_OK},
    {"iterate-resizing", "iteration across a resize", PLAIN, &small, prepare_key_in_resize, iterate, 1, 1, BID_OK},
    {"keys-resizing", "a list of all keys across a resize", PLAIN, &small, prepare_key_in_resize, list_keys, 1, 1,
     BID_OK},
    {"statistics-resizing", "statistics in a resize", PLAIN, &small, prepare_key_in_resize, read_statistics, 1, 1,
     BID_OK},
    {"create-fenced", "the first table with fenced pins, locked in memory", PLAIN, &roomy, prepare_key, create_fenced,
     1, 1, BID_OK},
    {"create-by-default", "a table without options", PLAIN, &roomy, prepare_key, create_by_default, 1, 1, BID_OK},
    {"reclaim-observed", "free what readers elsewhere have left", LIMITED, &observed, prepare_observed,
     observe_and_reclaim, 1, 1, BID_OK},
    {"reject-options", "each option that is rejected", PLAIN, &roomy, prepare_key, reject_options, 1, 1, BID_E_OPTIONS},
    {"reject-arguments", "each argument that is rejected", PLAIN, &roomy, prepare_key, reject_arguments, 1, 1, BID_OK},
    {0},
};
