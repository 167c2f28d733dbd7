/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tables in a region: found and read at another address, also in the midst of resizes; memory that comes back, and
 * runs out; grace periods that somebody observes; what the child of a fork may do.
 */
#define _GNU_SOURCE
#include "bid_atomic.h"

#include <stddef.h>

/* Between a look at the bits of pages and the claim of them. */
static void (*before_claim)(void);
static int claim_comes(void)
{
    void (*now)(void) = before_claim;
    before_claim = NULL;
    if (now)
        now();
    return 0;
}
#undef bid_or
#define bid_or(pointer, value, order) (claim_comes(), atomic_fetch_or_explicit((pointer), (value), (order)))
#include "../region/region.c"

#include "shared_region.h"

#include "update.h"

#include <pthread.h>
#include <sys/wait.h>

#define MEGABYTE (1ull << 20)

/* ------------------------------------------------------------------------------------------------ refused -- */

static void bad_regions_are_refused(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct shared_region shared = make_region(MEGABYTE);
    struct bid_region *region;
    struct bid_allocator allocator;
    const struct bid_region *opened;
    CHECK_STATUS(bid_region_init(NULL, MEGABYTE, &region, &allocator), BID_E_NULL);
    CHECK_STATUS(bid_region_init((char *)shared.memory + 8, MEGABYTE - 8, &region, &allocator), BID_E_REGION);
    CHECK(!region);
    CHECK_STATUS(bid_region_init(shared.memory, page + page / 2, &region, &allocator), BID_E_REGION);
    CHECK_STATUS(bid_region_open(shared.memory, MEGABYTE, &opened), BID_OK);
    CHECK_STATUS(bid_region_open(shared.memory, MEGABYTE - 1, &opened), BID_E_REGION);
    CHECK(!opened);
    shared.region->layout++;
    CHECK_STATUS(bid_region_open(shared.memory, MEGABYTE, &opened), BID_E_REGION);
    shared.region->layout--;
    shared.region->magic++;
    CHECK_STATUS(bid_region_open(shared.memory, MEGABYTE, &opened), BID_E_REGION);
    shared.region->magic--;
    struct bid_table *outside = make_table((struct bid_options){0});
    CHECK_STATUS(bid_region_publish(shared.region, 0, outside), BID_E_REGION);
    CHECK_STATUS(bid_region_publish(shared.region, BID_REGION_TABLES, NULL), BID_E_REGION);
    CHECK_STATUS(bid_region_publish(NULL, 0, outside), BID_E_NULL);
    CHECK_STATUS(bid_region_init(shared.memory, 2 * page, &region, &allocator), BID_OK); /* too small for any table */
    CHECK_STATUS(bid_region_publish(region, 0, outside), BID_E_REGION);
    CHECK_STATUS(bid_region_publish(region, 0, NULL), BID_OK);
    CHECK(bid_grace_begin(outside) == 0 && bid_grace_begin(NULL) == 0);
    bid_destroy(outside);
    CHECK_STATUS(bid_region_init(shared.memory, MEGABYTE, &region, &allocator), BID_OK);
    struct bid_options options = {.size = sizeof options, .allocator = &allocator};
    struct bid_table *unshared = make_table(options); /* it would free what is read elsewhere */
    CHECK_STATUS(bid_region_publish(region, 0, unshared), BID_E_REGION);
    bid_destroy(unshared);
    allocator.unmap = NULL;
    CHECK_STATUS(bid_create(&outside, &options), BID_E_NULL);
    give_up_region(&shared);
}

/* ----------------------------------------------------------------------------------------- read elsewhere -- */

static void put(struct bid_table *table, uint64_t number, uint64_t version, size_t length)
{
    uint8_t id[BID_ID_MAX];
    make_id(inode_key(number), version, id, length);
    CHECK(bid_upsert(table, inode_key(number), (uint32_t)version, id, length) >= 0);
}

static void check_elsewhere(const struct bid_region *region, uint64_t number, uint64_t version, size_t length)
{
    struct bid_build_id id;
    int status = bid_region_lookup(region, 0, inode_key(number), &id);
    CHECK_STATUS(status, length ? BID_OK : BID_NO_BUILD_ID);
    CHECK(id.generation == (uint32_t)version && (!length || id_is(&id, inode_key(number), version, length)));
}

static size_t length_of(uint64_t number)
{
    static const size_t lengths[] = {20, 0, 8, 64, 20, 32, 1};
    return lengths[number % 7];
}

/* Nobody reads while grace periods are said to be over here. */
static void observe(struct bid_table *table)
{
    bid_grace_end(table, bid_grace_begin(table));
    bid_reclaim(table);
}

static void found_at_another_address(void)
{
    struct shared_region shared = make_region(32 * MEGABYTE);
    uint64_t bytes = bid_region_free(shared.region), resizing = 0;
    struct bid_table *table = make_shared_table(&shared, (struct bid_options){.id_size = BID_ID_MAX});
    const struct bid_region *region = map_for_reading(&shared);
    struct bid_build_id id;
    CHECK_STATUS(bid_region_lookup(region, 0, 5, &id), BID_ABSENT);
    CHECK_STATUS(bid_region_lookup(region, 1, 5, &id), BID_ABSENT);
    CHECK_STATUS(bid_region_lookup(region, BID_REGION_TABLES, 5, &id), BID_ABSENT);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t older = i / 2;
        put(table, i, 1, length_of(i));
        check_elsewhere(region, i, 1, length_of(i));
        put(table, older, i, length_of(older));
        check_elsewhere(region, older, i, length_of(older));
        if (bid_resizing(table) && ++resizing % 8 == 0)
            CHECK_STATUS(bid_region_lookup(region, 0, inode_key(i + 1), &id), BID_ABSENT);
        observe(table);
    }
    CHECK(resizing > 100 && bid_resizes(table) >= 3);
    for (uint64_t i = 0; i < 20000; i += 2) {
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
        CHECK_STATUS(bid_region_lookup(region, 0, inode_key(i), &id), BID_ABSENT);
        observe(table);
    }
    for (uint64_t i = 0; i < 20000; i++) {
        int status = bid_region_lookup(region, 0, inode_key(i), &id);
        CHECK((status == BID_ABSENT) == (i % 2 == 0));
        CHECK(bid_lookup(table, inode_key(i), &id) == status);
    }
    CHECK_STATUS(bid_region_publish(shared.region, 0, NULL), BID_OK);
    CHECK_STATUS(bid_region_lookup(region, 0, inode_key(1), &id), BID_ABSENT);
    bid_destroy(table);
    CHECK(bid_region_free(shared.region) == bytes);
    give_up_region(&shared);
}

/* ------------------------------------------------------------------------------------------------- memory -- */

/* Updates that find none fail, and go on when there is some. */
static void memory_runs_out_and_comes_back(void)
{
    struct shared_region shared = make_region(2 * MEGABYTE);
    uint64_t bytes = bid_region_free(shared.region), entries = 0;
    struct bid_options options = {.size = sizeof options, .allocator = &shared.allocator, .expected_entries = 1000000};
    struct bid_table *table;
    CHECK_STATUS(bid_create(&table, &options), BID_E_NO_MEMORY);
    CHECK(!table && bid_region_free(shared.region) == bytes);
    table = make_shared_table(&shared, (struct bid_options){.id_size = 20});
    int status;
    do {
        observe(table);
        status = insert(table, inode_key(entries), 1, 20);
        entries += status == BID_OK;
    } while (status == BID_OK);
    CHECK_STATUS(status, BID_E_NO_MEMORY);
    CHECK(entries > 1000);
    struct bid_build_id id;
    for (uint64_t i = 0; i < entries; i++)
        CHECK(bid_lookup(table, inode_key(i), &id) == BID_OK && id_is(&id, inode_key(i), 1, 20));
    for (uint64_t i = 0; i < entries; i += 2)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    for (uint64_t i = 0; i < entries; i += 2)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    bid_destroy(table);
    CHECK(bid_region_free(shared.region) == bytes);
    give_up_region(&shared);
}

enum { TAKERS = 4, ROUNDS = 3000, HELD = 8 };
struct taker {
    pthread_t thread;
    struct bid_allocator allocator;
    uint64_t number, taken;
};

static void *take_and_give_back(void *argument)
{
    struct taker *taker = argument;
    const struct bid_allocator *of = &taker->allocator;
    void *held[HELD] = {NULL};
    size_t bytes[HELD] = {0};
    uint64_t random = taker->number * 2654435761u + 1;
    for (unsigned round = 0; round < ROUNDS + HELD; round++) {
        unsigned i = round % HELD;
        uint64_t *words = held[i];
        for (size_t word = 0; words && word < bytes[i] / 8; word += 64)
            CHECK(words[word] == taker->number);
        if (held[i])
            of->unmap(of->context, &held[i], bytes[i]);
        CHECK(!held[i]);
        if (round >= ROUNDS)
            continue;
        random = random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = 4096 + (random >> 33) % 400000;
        words = held[i] = of->map(of->context, bytes[i], bytes[i], 0);
        for (size_t word = 0; words && word < bytes[i] / 8; word += 64) {
            CHECK(words[word] == 0);
            words[word] = taker->number;
        }
        taker->taken += words != NULL;
    }
    return NULL;
}

/* Each block is one thread's alone, zeroed, and all of them come back. */
static void blocks_are_nobody_elses(void)
{
    struct shared_region shared = make_region(4 * MEGABYTE);
    uint64_t bytes = bid_region_free(shared.region);
    struct taker takers[TAKERS];
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.allocator = shared.allocator, .number = i + 1};
        CHECK(pthread_create(&takers[i].thread, NULL, take_and_give_back, &takers[i]) == 0);
    }
    for (unsigned i = 0; i < TAKERS; i++) {
        CHECK(pthread_join(takers[i].thread, NULL) == 0);
        CHECK(takers[i].taken > ROUNDS / 20);
    }
    CHECK(bid_region_free(shared.region) == bytes);
    struct taker *last = &takers[0]; /* and all of it is one block again */
    void *all = last->allocator.map(last->allocator.context, bytes, bytes, 0);
    CHECK(all && !last->allocator.map(last->allocator.context, 1, 1, 0));
    give_up_region(&shared);
}

static struct bid_allocator racing;
static void *quicker;
static size_t skipped_bytes, quicker_bytes;

static void be_quicker(void)
{
    void *skipped = racing.map(racing.context, skipped_bytes, skipped_bytes, 0);
    quicker = racing.map(racing.context, quicker_bytes, quicker_bytes, 0);
    racing.unmap(racing.context, &skipped, skipped_bytes);
}

/* Pages that another thread takes at the last moment, all or some of them: it keeps them, and the others are given
 * back. */
static void pages_taken_at_the_last_moment(void)
{
    struct shared_region shared = make_region(4 * MEGABYTE);
    uint64_t bytes = bid_region_free(shared.region), page = shared.region->page;
    racing = shared.allocator;
    for (size_t more = 0; more < 400; more++) {
        skipped_bytes = page * (more / 2);
        quicker_bytes = page * (more % 2 * 200 + 1);
        before_claim = be_quicker;
        size_t wanted = page * 130;
        void *memory = racing.map(racing.context, wanted, wanted, 0);
        CHECK(memory && quicker && !before_claim);
        CHECK((char *)memory >= (char *)quicker + quicker_bytes || (char *)quicker >= (char *)memory + wanted);
        CHECK(bid_region_free(shared.region) == bytes - wanted - quicker_bytes);
        racing.unmap(racing.context, &memory, wanted);
        racing.unmap(racing.context, &quicker, quicker_bytes);
        CHECK(bid_region_free(shared.region) == bytes);
    }
    give_up_region(&shared);
}

/* ------------------------------------------------------------------------------------------ grace periods -- */

static int observe_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    struct bid_table *table = argument;
    CHECK_STATUS(bid_shrink(table), BID_OK);
    bid_grace_end(table, bid_grace_begin(table));
    CHECK(bid_reclaim(table) > 0); /* this visit is in what is retired */
    return 1;
}

/* Memory is free when both are over: the pins of this process, and what somebody observes. */
static void both_grace_periods_count(void)
{
    struct shared_region shared = make_region(64 * MEGABYTE);
    struct bid_table *table = make_shared_table(&shared, (struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK(bid_grace_begin(table) == 0);
    CHECK_STATUS(bid_reserve(table, 20000), BID_OK);
    uint64_t retired = bid_reclaim(table), early = bid_grace_begin(table);
    CHECK(retired > 0 && early > 0 && bid_reclaim(table) == retired);
    CHECK_STATUS(bid_reserve(table, 60000), BID_OK);
    CHECK(bid_reclaim(table) > retired);
    bid_grace_end(table, early); /* which frees the first, and not what was retired after it began */
    uint64_t left = bid_reclaim(table), late = bid_grace_begin(table);
    CHECK(left > 0 && left < statistics(table).bytes_slots + retired && late > early);
    bid_grace_end(table, early);
    CHECK(bid_reclaim(table) == left);
    bid_grace_end(table, late);
    bid_grace_end(table, early); /* late, and in vain */
    CHECK(bid_reclaim(table) == 0 && bid_grace_begin(table) == 0);
    CHECK(bid_iterate(table, observe_inside, table) == 1);
    CHECK(bid_reclaim(table) == 0); /* the visit has left, and what it was in was observed */
    bid_destroy(table);
    give_up_region(&shared);
}

/* --------------------------------------------------------------------------------------------------- fork -- */

static void child_of_a_fork(struct bid_table *table, const struct bid_region *region)
{
    struct bid_build_id id;
    CHECK_STATUS(insert(table, 2, 1, 20), BID_E_REGION);
    CHECK_STATUS(bid_insert_nmi(table, 2, 1, "x", 1), BID_E_REGION);
    CHECK_STATUS(bid_remove(table, 1), BID_E_REGION);
    CHECK_STATUS(bid_reserve(table, 100000), BID_E_REGION);
    CHECK_STATUS(bid_shrink(table), BID_E_REGION);
    CHECK(bid_reclaim(table) == 0 && bid_grace_begin(table) == 0);
    CHECK_STATUS(bid_region_lookup(region, 0, 1, &id), BID_OK);
    bid_destroy(table);
    _exit(0);
}

static void a_child_leaves_the_table_alone(void)
{
    struct shared_region shared = make_region(16 * MEGABYTE);
    struct bid_table *table = make_shared_table(&shared, (struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK_STATUS(bid_reserve(table, 20000), BID_OK); /* something is retired, for the child to take for an orphan */
    uint64_t bytes = bid_region_free(shared.region), floor = bid_load(&table->floor_entries, BID_RELAXED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child)
        child_of_a_fork(table, map_for_reading(&shared));
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    struct bid_build_id id;
    CHECK(bid_region_free(shared.region) == bytes && bid_count(table) == 1);
    CHECK(bid_load(&table->floor_entries, BID_RELAXED) == floor);
    CHECK_STATUS(bid_lookup(table, 1, &id), BID_OK);
    CHECK_STATUS(insert(table, 2, 1, 20), BID_OK);
    bid_destroy(table);
    give_up_region(&shared);
}

int main(void)
{
    bad_regions_are_refused();
    found_at_another_address();
    memory_runs_out_and_comes_back();
    blocks_are_nobody_elses();
    pages_taken_at_the_last_moment();
    both_grace_periods_count();
    a_child_leaves_the_table_alone();
    return 0;
}
