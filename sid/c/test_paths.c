/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Keys that collide: lookups stay under the bound, memory does not blow up, no entry is lost (G8). */
#include "check.h"

#include "update.h"

static void check_all(struct bid_table *table, const uint64_t *keys, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        struct bid_build_id id;
        struct bid_probe_cost cost;
        CHECK_STATUS(bid_lookup_cost(table, keys[i], &id, &cost), BID_OK);
        CHECK(id_is(&id, keys[i], 1, 20));
        CHECK(cost.slots <= BID_LOOKUP_MAX_SLOTS && cost.records <= BID_LOOKUP_MAX_RECORDS);
    }
}

/* Addresses at some distance from each other, also one at which a hash of few bits would give all one bucket: the table
 * holds them in the memory that any other keys take. */
static void strided(uint64_t n, uint64_t stride)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t *keys = calloc(n, sizeof *keys);
    for (uint64_t i = 0; i < n; i++) {
        keys[i] = 0xffff888100000000ull + i * stride;
        CHECK_STATUS(insert(table, keys[i], 1, 20), BID_OK);
        if (bid_resizing(table) && i % 16 == 0)
            check_all(table, keys, i + 1);
    }
    check_all(table, keys, n);
    struct bid_stats stats = statistics(table);
    CHECK(stats.entries == n && stats.slots <= 8 * n);
    printf("stride %lu: %lu entries, %lu slots, at most %u slots read, %lu reseeds\n", (unsigned long)stride,
           (unsigned long)n, (unsigned long)stats.slots, stats.max_slots_read,
           (unsigned long)stats.resize_begun[BID_RESIZE_RESEED]);
    for (uint64_t i = 0; i < n; i++)
        CHECK_STATUS(bid_remove(table, keys[i]), BID_OK);
    bid_destroy(table);
    free(keys);
}

/* The number whose product with an odd one is 1, modulo 2^64: each turn doubles the bits that are right. */
static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;
    for (int i = 0; i < 6; i++)
        x *= 2 - odd * x;
    return x;
}

/* The key of which bid_mix() makes this. */
static uint64_t unmix(uint64_t mixed, uint64_t seed)
{
    uint64_t x = mixed * inverse(0xbb67ae8584caa73bull);
    x ^= x >> 32;
    return x * inverse(0x9e3779b97f4a7c15ull) ^ seed;
}

#define SEED 12345
#define CROWD (BID_SEQUENCE_SLOTS + 40)

/* Keys that have home, step and tag in common with number 0, in every array of some thousand buckets. */
static uint64_t crowd_mixed(uint64_t number)
{
    return 1ull << 62 | 5ull << 21 | number;
}

static uint64_t crowd_key(uint64_t number, uint64_t seed)
{
    return unmix(crowd_mixed(number), seed);
}

static void check_crowd(uint64_t buckets)
{
    struct bid_sequence first = bid_sequence_mixed(crowd_mixed(0), buckets);
    for (uint64_t i = 1; i < CROWD; i++) {
        CHECK(bid_mix(crowd_key(i, SEED), SEED) == crowd_mixed(i));
        struct bid_sequence other = bid_sequence_mixed(crowd_mixed(i), buckets);
        CHECK(other.bucket == first.bucket && other.tag == first.tag);
        CHECK(bid_step(crowd_mixed(i), buckets) == bid_step(crowd_mixed(0), buckets));
    }
}

/* An adversary who knows the seed sends keys to one probe sequence of a table until the table takes another seed; the
 * table must not grow over it, and must keep every entry. */
static void known_seed(uint64_t buckets)
{
    struct bid_table *table = make_table((struct bid_options){
        .flags = BID_FIXED_SEED, .seed = SEED, .expected_entries = buckets * 8 * 7 / 10, .id_size = 20});
    uint64_t keys[CROWD];
    CHECK(statistics(table).slots == buckets * 8);
    check_crowd(buckets);
    for (uint64_t i = 0; i < CROWD; i++) {
        keys[i] = crowd_key(i, SEED);
        CHECK_STATUS(insert(table, keys[i], 1, 20), BID_OK);
    }
    while (bid_resizing(table))
        CHECK(bid_remove(table, 0) == BID_ABSENT);
    check_all(table, keys, CROWD);
    struct bid_stats stats = statistics(table);
    CHECK(stats.resize_begun[BID_RESIZE_RESEED] >= 1);
    CHECK(stats.slots == buckets * 8 && stats.seed != SEED && stats.entries == CROWD);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------------- the bound -- */

#define BUCKETS 1024
#define NEXT_BUCKETS 1472 /* of the array that comes next */

static int is_in_their_sequence(uint64_t key, uint64_t buckets)
{
    uint64_t home = bid_sequence_mixed(bid_mix(key, SEED), buckets).bucket, step = bid_step(crowd_mixed(0), buckets);
    uint64_t bucket = bid_sequence_mixed(crowd_mixed(0), buckets).bucket;
    for (uint64_t i = 0; i < BID_SEQUENCE_BUCKETS; i++, bucket = bid_bucket_next(bucket, step, buckets))
        if (home == bucket)
            return 1;
    return 0;
}

/* The worst lookup that there is: a key that is absent, whose probe sequence is full of keys with its tag, in both
 * arrays of a resize. It reads as much as the bound says, and not more. */
static void worst_lookup(void)
{
    struct bid_table *table = make_table((struct bid_options){
        .flags = BID_FIXED_SEED, .seed = SEED, .expected_entries = BUCKETS * 8 * 7 / 10, .id_size = 20});
    CHECK(statistics(table).slots == BUCKETS * 8);
    check_crowd(BUCKETS);
    check_crowd(NEXT_BUCKETS);
    for (uint64_t i = 0; i < BID_SEQUENCE_SLOTS; i++)
        CHECK_STATUS(insert(table, crowd_key(i, SEED), 1, 20), BID_OK);
    for (uint64_t key = 1; !bid_resizing(table); key++)
        if (!is_in_their_sequence(key, BUCKETS) && !is_in_their_sequence(key, NEXT_BUCKETS))
            CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
    CHECK(bid_future(table, bid_head(table))->buckets == NEXT_BUCKETS);
    uint8_t id[20];
    for (uint64_t i = 0; i < BID_SEQUENCE_SLOTS; i++) { /* each is migrated */
        make_id(crowd_key(i, SEED), 1, id, sizeof id);
        CHECK_STATUS(bid_upsert(table, crowd_key(i, SEED), 1, id, sizeof id), BID_EXISTS);
    }
    CHECK(bid_resizing(table));
    struct bid_build_id found;
    struct bid_probe_cost cost;
    CHECK_STATUS(bid_lookup_cost(table, crowd_key(BID_SEQUENCE_SLOTS, SEED), &found, &cost), BID_ABSENT);
    printf("the worst lookup: %u slots and %u records read\n", cost.slots, cost.records);
    CHECK(cost.slots == BID_LOOKUP_MAX_SLOTS && cost.records == BID_LOOKUP_MAX_RECORDS);
    bid_destroy(table);
}

/* Of the usual one, what bid_lookup() reads is counted, in the form that it takes: a look at one bucket, and one
 * record. */
static void usual_lookup(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    struct bid_build_id found;
    struct bid_probe_cost cost;
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK_STATUS(bid_lookup_cost(table, 1, &found, &cost), BID_OK);
    CHECK(cost.slots == 8 && cost.records == 1);
    CHECK_STATUS(bid_lookup_cost(table, 2, &found, &cost), BID_ABSENT);
    CHECK(cost.slots == 8 && cost.records == 0);
    bid_destroy(table);
}

/* A key whose probe sequence is full of others when it is to be copied stops the resize, and no update of other keys.
 * That takes keys made for a seed: here for that of the next array. */
static void other_keys_of_a_crowd(void)
{
    struct bid_table *table = make_table((struct bid_options){.flags = BID_FIXED_SEED, .seed = SEED, .id_size = 20});
    uint64_t next_seed = bid_mix(SEED, 0x5bf03635u);
    for (uint64_t i = 0; i < BID_SEQUENCE_SLOTS + 2; i++)
        CHECK_STATUS(insert(table, crowd_key(i, next_seed), 1, 20), BID_OK);
    for (uint64_t i = 0; i < 400; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK_STATUS(bid_shrink(table), BID_E_COLLISIONS);
    CHECK(bid_resizing(table));
    for (uint64_t i = 0; i < 400; i++) {
        uint8_t id[20];
        struct bid_build_id found;
        make_id(inode_key(i), 2, id, sizeof id);
        if (i % 2)
            CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
        else if (i < 100) /* a few: an array that is not the head yet takes few records */
            CHECK_STATUS(bid_replace(table, inode_key(i), 2, id, sizeof id), BID_OK);
        int status = bid_lookup(table, inode_key(i), &found);
        CHECK(i % 2 ? status == BID_ABSENT : status == BID_OK && id_is(&found, inode_key(i), i < 100 ? 2 : 1, 20));
    }
    bid_destroy(table);
}

/* A probe sequence through the least array has all of it. */
static void least_array(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct bid_table *table = make_table(
            (struct bid_options){.flags = BID_FIXED_SEED, .seed = seed, .expected_entries = 10, .id_size = 20});
        CHECK(statistics(table).slots == BID_SEQUENCE_SLOTS);
        for (uint64_t i = 0; i < BID_SEQUENCE_SLOTS; i++)
            CHECK_STATUS(bid_insert_nmi(table, 0xffff888100000000ull + i * 65536, 0, "x", 1), BID_OK);
        CHECK_STATUS(bid_insert_nmi(table, 1, 0, "x", 1), BID_E_WOULD_ALLOCATE);
        bid_destroy(table);
    }
}

/* In every array, the buckets of a sequence differ. */
static void buckets_differ(void)
{
    for (uint32_t size = 0; size <= BID_SIZE_MAX; size += size < BID_SIZE_START ? 2 : 1)
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t buckets = bid_size_buckets(size), mixed = bid_mix(i, SEED), seen[BID_SEQUENCE_BUCKETS];
            uint64_t bucket = bid_sequence_mixed(mixed, buckets).bucket;
            for (unsigned n = 0; n < BID_SEQUENCE_BUCKETS; n++) {
                CHECK(bucket < buckets);
                for (unsigned before = 0; before < n; before++)
                    CHECK(seen[before] != bucket);
                seen[n] = bucket;
                bucket = bid_bucket_next(bucket, bid_step(mixed, buckets), buckets);
            }
        }
}

int main(void)
{
    other_keys_of_a_crowd();
    least_array();
    buckets_differ();
    worst_lookup();
    usual_lookup();
    strided(20000, 1);
    strided(20000, 8);
    strided(20000, 1128);
    strided(20000, 1 << 20);
    strided(20000, 1ull << 45);
    known_seed(64);
    known_seed(256);
    known_seed(368);
    return 0;
}
