/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "scenarios.h"
#include "../common/stepper.h"

#include "../../tests/c/check.h"

#define FULL_PATH(number) path_key(100 + (number))

#define FILL_MOST 100000 /* more than any array here has room for */

static uint64_t filler;

static void give(uint64_t key, uint64_t version)
{
    CHECK_STATUS(insert(stepped, key, version, 20), BID_OK);
}

/* ------------------------------------------------------------------------------------ where they begin -- */

void prepare_key(void)
{
    give(KEY, 1);
}

static void prepare_tombstone(void)
{
    give(KEY, 1);
    CHECK_STATUS(bid_remove(stepped, KEY), BID_OK);
}

void prepare_resize(void)
{
    while (!bid_resizing(stepped))
        give(inode_key(2000 + filler++), 1);
}

void prepare_key_in_resize(void)
{
    prepare_key();
    prepare_resize();
}

/* Fills the array by inserts that may not allocate: it has no room left, and no resize has begun. */
void prepare_no_room(void)
{
    uint8_t id[20];
    int status = BID_OK;
    while (status == BID_OK) {
        uint64_t key = inode_key(2000 + filler++);
        make_id(key, 1, id, sizeof id);
        status = bid_insert_nmi(stepped, key, 1, id, sizeof id);
        CHECK(filler < FILL_MOST); /* otherwise the form for NMI context has made room */
    }
    CHECK_STATUS(status, BID_E_WOULD_ALLOCATE);
    CHECK(!bid_resizing(stepped));
}

/* Fills one probe sequence: the next key of it does not fit. */
void prepare_full_path(void)
{
    uint8_t id[20] = {1};
    while (bid_insert_nmi(stepped, FULL_PATH(filler), 1, id, sizeof id) == BID_OK)
        filler++;
    CHECK(filler > BID_SEQUENCE_SLOTS / 2 && filler <= BID_SEQUENCE_SLOTS && !bid_resizing(stepped));
}

static void prepare_key_and_full_path(void)
{
    prepare_key();
    prepare_full_path();
}

/* Leaves a retired array, which the pin of this visit has kept from being freed. */
static int resize_while_pinned(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    CHECK_STATUS(bid_reserve(stepped, 4000), BID_OK);
    return 1;
}

void prepare_retired(void)
{
    CHECK(bid_iterate(stepped, resize_while_pinned, NULL) == 1);
    CHECK(statistics(stepped).retired_arrays == 1);
}

/* -------------------------------------------------------------------------------------------- operations -- */

static int nothing(void)
{
    return BID_OK;
}

int insert_key(void)
{
    return insert(stepped, KEY, 5, 20);
}

int insert_from_nmi(void)
{
    uint8_t id[20];
    make_id(KEY, 5, id, sizeof id);
    return bid_insert_nmi(stepped, KEY, 5, id, sizeof id);
}

int replace_key(void)
{
    uint8_t id[20];
    make_id(KEY, 5, id, sizeof id);
    return bid_replace(stepped, KEY, 5, id, sizeof id);
}

static int replace_by_longer(void)
{
    uint8_t id[BID_ID_MAX];
    make_id(KEY, 5, id, sizeof id);
    return bid_replace(stepped, KEY, 5, id, sizeof id);
}

static int upsert_key(void)
{
    uint8_t id[20];
    make_id(KEY, 5, id, sizeof id);
    return bid_upsert(stepped, KEY, 5, id, sizeof id);
}

static int insert_many(void)
{
    uint64_t keys[2] = {inode_key(1), inode_key(3000)};
    uint8_t ids[2][20];
    make_id(keys[1], 0, ids[1], sizeof ids[1]);
    return bid_insert_many(stepped, keys, 2, ids[0], sizeof ids[0], NULL, NULL);
}

int remove_key(void)
{
    return bid_remove(stepped, KEY);
}

static int remove_from_nmi(void)
{
    return bid_remove_nmi(stepped, KEY);
}

static int remove_generation(void)
{
    return bid_remove_generation(stepped, KEY, 1);
}

static int remove_another_generation(void)
{
    return bid_remove_generation(stepped, KEY, 2);
}

int look_up(void)
{
    struct bid_build_id id;
    return bid_lookup(stepped, KEY, &id);
}

static int look_up_generation(void)
{
    struct bid_build_id id;
    return bid_lookup_generation(stepped, KEY, 2, &id);
}

static int look_up_cost(void)
{
    struct bid_build_id id;
    struct bid_probe_cost cost;
    return bid_lookup_cost(stepped, KEY, &id, &cost);
}

#define MANY 20 /* more than a batch */

int look_up_many(void)
{
    uint64_t keys[MANY];
    uint8_t ids[MANY][20], lengths[MANY];
    for (uint64_t i = 0; i < MANY; i++)
        keys[i] = i % 4 ? inode_key(i) : i % 8 ? KEY : inode_key(4000 + i);
    size_t found = bid_lookup_many(stepped, keys, MANY, ids[0], sizeof ids[0], lengths);
    return found == MANY - 3 ? BID_OK : BID_E_NULL;
}

int reserve(void)
{
    return bid_reserve(stepped, 1000);
}

int shrink(void)
{
    return shrink_table(stepped);
}

/* Inserts and removes other keys until a resize has dropped the tombstones. */
static int drop_tombstones(void)
{
    uint64_t resizes = bid_resizes(stepped);
    int status = BID_OK;
    while (status == BID_OK && bid_resizes(stepped) == resizes) {
        uint64_t key = inode_key(5000 + filler++);
        status = insert(stepped, key, 1, 20);
        if (status == BID_OK)
            status = bid_remove(stepped, key);
    }
    return status;
}

/* The status, if the table has taken a new seed, or if the resize of another thread may have made that unnecessary. */
static int has_reseeded(int status)
{
    stepper_end();
    return statistics(stepped).resize_begun[BID_RESIZE_RESEED] || judged->updated_at ? status : BID_E_COLLISIONS;
}

static int insert_key_and_reseed(void)
{
    return has_reseeded(insert_key());
}

static int insert_another_and_reseed(void)
{
    return has_reseeded(insert(stepped, FULL_PATH(filler), 1, 20));
}

/* Everything is freed, unless the resize of another thread has left more meanwhile. */
static int reclaim(void)
{
    uint64_t resizes = bid_resizes(stepped), left = bid_reclaim(stepped);
    return left && bid_resizes(stepped) == resizes ? BID_E_RETIRED : BID_OK;
}

int count_entries(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    ++*(int *)argument;
    return 0;
}

int iterate(void)
{
    int seen = 0, status = bid_iterate(stepped, count_entries, &seen);
    return seen > STEADY ? status : BID_E_NULL; /* with what handlers insert */
}

int list_keys(void)
{
    uint64_t keys[2 * STEADY];
    return bid_keys(stepped, keys, 2 * STEADY) > STEADY ? BID_OK : BID_E_NULL;
}

int read_statistics(void)
{
    struct bid_stats stats = {.size = sizeof stats};
    return bid_statistics(stepped, &stats);
}

static int create_and_destroy(void)
{
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .expected_entries = 1, .id_size = BID_ID_MAX};
    int status = bid_create(&table, &options);
    if (status == BID_OK)
        status = insert(table, KEY, 1, BID_ID_MAX);
    bid_destroy(table);
    return status;
}

/* ----------------------------------------------------------------------------------------------- the list -- */

const struct bid_options roomy = {.expected_entries = 6000, .id_size = BID_ID_MAX};
const struct bid_options small = {.expected_entries = 1, .id_size = BID_ID_MAX};
const struct bid_options few = {.expected_entries = 300, .id_size = BID_ID_MAX};
static const struct bid_options tall = {.expected_entries = 4000, .id_size = BID_ID_MAX}; /* long to resize */
static const struct bid_options wide = {.expected_entries = 30000,
                                        .id_size = BID_ID_MAX}; /* with records for many updates by handlers */

const struct scenario plain_scenarios[] = {
    {"nothing", "no operation: what switching costs", PLAIN, &roomy, prepare_key, nothing, 1, 1, BID_OK},
    {"insert-new", "insert of a new key", PLAIN, &roomy, NULL, insert_key, ABSENT, 5, BID_OK},
    {"insert-existing", "insert of a key that is there", PLAIN, &roomy, prepare_key, insert_key, 1, 1, BID_EXISTS},
    {"insert-tombstone", "insert over the key's tombstone", PLAIN, &roomy, prepare_tombstone, insert_key, ABSENT, 5,
     BID_OK},
    {"insert-no-room", "insert into a full array, which grows", PLAIN, &small, prepare_no_room, insert_key, ABSENT, 5,
     BID_OK},
    {"insert-full", "insert into a full probe sequence, which reseeds", PLAIN, &few, prepare_full_path,
     insert_key_and_reseed, ABSENT, 5, BID_OK},
    {"insert-nmi", "insert by the form for NMI context", PLAIN, &roomy, NULL, insert_from_nmi, ABSENT, 5, BID_OK},
    {"insert-nmi-no-room", "the same, into a full array: refused", LIMITED, &small, prepare_no_room, insert_from_nmi,
     ABSENT, ABSENT, BID_E_WOULD_ALLOCATE},
    {"insert-nmi-resizing", "the same across a resize", LIMITED, &small, prepare_resize, insert_from_nmi, ABSENT, 5,
     BID_OK},
    {"insert-many", "insert of a batch", PLAIN, &roomy, prepare_key, insert_many, 1, 1, BID_OK},
    {"upsert-absent", "upsert of a new key", PLAIN, &roomy, NULL, upsert_key, ABSENT, 5, BID_OK},
    {"upsert-present", "upsert of a key that is there", PLAIN, &roomy, prepare_key, upsert_key, 1, 5, BID_EXISTS},
    {"replace-present", "replace of a key that is there", PLAIN, &roomy, prepare_key, replace_key, 1, 5, BID_OK},
    {"replace-longer", "replace by an ID of three records", PLAIN, &roomy, prepare_key, replace_by_longer, 1, 5,
     BID_OK},
    {"replace-absent", "replace of an absent key", PLAIN, &roomy, NULL, replace_key, ABSENT, ABSENT, BID_ABSENT},
    {"remove-present", "remove of a key that is there", PLAIN, &roomy, prepare_key, remove_key, 1, ABSENT, BID_OK},
    {"remove-absent", "remove of an absent key", PLAIN, &roomy, NULL, remove_key, ABSENT, ABSENT, BID_ABSENT},
    {"remove-nmi", "remove by the form for NMI context", PLAIN, &roomy, prepare_key, remove_from_nmi, 1, ABSENT,
     BID_OK},
    {"remove-nmi-resizing", "the same across a resize", PLAIN, &small, prepare_key_in_resize, remove_from_nmi, 1,
     ABSENT, BID_OK},
    {"remove-generation", "remove of a generation", PLAIN, &roomy, prepare_key, remove_generation, 1, ABSENT, BID_OK},
    {"remove-stale", "remove of another generation", PLAIN, &roomy, prepare_key, remove_another_generation, 1, 1,
     BID_STALE},
    {"lookup-hit", "lookup of a key that is there", PLAIN, &roomy, prepare_key, look_up, 1, 1, BID_OK},
    {"lookup-miss", "lookup of an absent key", PLAIN, &roomy, NULL, look_up, ABSENT, ABSENT, BID_ABSENT},
    {"lookup-stale", "lookup of another generation", PLAIN, &roomy, prepare_key, look_up_generation, 1, 1, BID_STALE},
    {"lookup-cost", "lookup that measures itself", PLAIN, &roomy, prepare_key, look_up_cost, 1, 1, BID_OK},
    {"lookup-many", "lookup of a batch", PLAIN, &roomy, prepare_key, look_up_many, 1, 1, BID_OK},
    {"lookup-hit-resizing", "lookup across a resize, present", PLAIN, &small, prepare_key_in_resize, look_up, 1, 1,
     BID_OK},
    {"lookup-miss-resizing", "lookup across a resize, absent", PLAIN, &small, prepare_resize, look_up, ABSENT, ABSENT,
     BID_ABSENT},
    {"lookup-many-resizing", "lookup of a batch across a resize", PLAIN, &small, prepare_key_in_resize, look_up_many, 1,
     1, BID_OK},
    {"lookup-longest", "two full probe sequences of one tag, a pin that is counted", CROWDED, &tall, prepare_longest,
     first_pin, ABSENT, ABSENT, BID_ABSENT},
    {"insert-resizing", "insert: seal the key, help", PLAIN, &small, prepare_resize, insert_key, ABSENT, 5, BID_OK},
    {"replace-resizing", "replace: seal the key, copy, help", PLAIN, &small, prepare_key_in_resize, replace_key, 1, 5,
     BID_OK},
    {"remove-resizing", "remove: seal the key, copy, leave a tombstone", PLAIN, &small, prepare_key_in_resize,
     remove_key, 1, ABSENT, BID_OK},
    {"finish-resize", "reserve: finish what others began, grow", PLAIN, &small, prepare_key_in_resize, reserve, 1, 1,
     BID_OK},
    {"grow", "reserve: a whole resize", PLAIN, &few, prepare_key, reserve, 1, 1, BID_OK},
    {"shrink", "shrink: a whole resize", PLAIN, &tall, prepare_key, shrink, 1, 1, BID_OK},
    {"drop-tombstones", "updates until tombstones are dropped", PLAIN, &small, prepare_key, drop_tombstones, 1, 1,
     BID_OK},
    {"reseed", "insert of another key into a full probe sequence", PLAIN, &few, prepare_key_and_full_path,
     insert_another_and_reseed, 1, 1, BID_OK},
    {"reclaim", "free a retired array", PLAIN, &small, prepare_retired, reclaim, ABSENT, ABSENT, BID_OK},
    {"iterate", "iteration over all entries", PLAIN, &small, prepare_key, iterate, 1, 1, BID_OK},
    {"keys", "a list of all keys", PLAIN, &small, prepare_key, list_keys, 1, 1, BID_OK},
    {"statistics", "statistics", PLAIN, &small, prepare_key, read_statistics, 1, 1, BID_OK},
    {"create-first", "the first tables of a process, and their first entries", FIRST_TABLES, &small, NULL, nothing,
     ABSENT, ABSENT, BID_OK},
    {"create-destroy", "a third table: create, insert, destroy", PLAIN, &roomy, prepare_key, create_and_destroy, 1, 1,
     BID_OK},
    {"first-pin", "the first lookup of a thread", RESTARTS, &roomy, prepare_key, first_pin, 1, 1, BID_OK},
    {"last-pin", "the last lookup of a thread, as it ends", RESTARTS, &roomy, prepare_key, last_pin, 1, 1, BID_OK},
    {"pin-temporary", "a lookup when the pin table is full", THREADED, &roomy, prepare_full_pins, first_pin, 1, 1,
     BID_OK},
    {"pin-counted", "a lookup when the temporary pins are taken, too", THREADED, &roomy, prepare_overflow, first_pin, 1,
     1, BID_OK},
    {"fork", "fork, and an insert in the child", FORKS, &wide, prepare_key, forked, 1, 1, BID_OK},
    {"fork-overflow", "fork of a thread without a slot in the pin table", FORKS, &wide, prepare_full_pins,
     forked_in_overflow, 1, 1, BID_OK},
    {0},
};

const struct scenario *scenario_get(size_t number)
{
    static const struct scenario *const lists[] = {
        plain_scenarios,   form_scenarios,    kind_scenarios, limit_scenarios, memory_scenarios, system_scenarios,
        rebuild_scenarios, stalled_scenarios, race_scenarios, inode_scenarios, audit_scenarios};
    for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++)
        for (const struct scenario *scenario = lists[list]; scenario->name; scenario++)
            if (!number--)
                return scenario;
    return NULL;
}

const struct scenario *scenario_named(const char *name)
{
    const struct scenario *scenario;
    for (size_t i = 0; (scenario = scenario_get(i)) && strcmp(scenario->name, name) != 0; i++)
        ;
    return scenario;
}

static void fill(struct bid_table *table)
{
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    for (uint64_t i = 1; i <= NEIGHBOURS; i++)
        CHECK_STATUS(insert(table, path_key(i), 1, 20), BID_OK);
}

void scenario_prepare(const struct scenario *scenario)
{
    struct bid_options options = *scenario->options;
    options.flags |= BID_FIXED_SEED;
    options.seed = SEED;
    stepped = make_table(options);
    second = make_table(options);
    fill(stepped);
    fill(second);
    if (scenario->prepare)
        scenario->prepare();
}

static int is_of_inode(const struct scenario *scenario)
{
    return scenario->kind == INODES || scenario->prepare == prepare_living_inode;
}

void scenario_watch(const struct scenario *scenario, struct judged_key watch[WATCHED])
{
    uint64_t key = is_of_inode(scenario) ? inode_address() : KEY;
    watch[0] = (struct judged_key){judge_version, key, scenario->before, scenario->after};
    watch[1] = (struct judged_key){NULL, key, scenario->before, scenario->after};
    if (is_of_inode(scenario))
        watch[1].version = inode_version;
}
