/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Keys that collide: lookups stay under the bound, memory does not blow up, no entry is lost (G8). */
#include "check.h"

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

/* Addresses at some distance from each other, also one at which a hash of few bits would give all one bucket: the table holds
 * them in the memory that any other keys take. */
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

/* The mixing hash of csrc/table/hash.h, written down once more. */
static uint64_t mix(uint64_t key, uint64_t seed)
{
    uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15ull;
    x ^= x >> 32;
    return x * 0xbb67ae8584caa73bull;
}

/* An adversary who knows the seed sends keys to one path of a table of 2^log2 buckets until the table takes another
 * seed; the table must not grow over it, and must keep every entry. */
static void known_seed(unsigned log2)
{
    const uint64_t buckets = 1ull << log2, seed = 12345, wanted = BID_PATH_SLOTS + 40;
    struct bid_table *table = make_table(
        (struct bid_options){.flags = BID_FIXED_SEED, .seed = seed, .expected_entries = buckets * 5, .id_size = 20});
    uint64_t keys[BID_PATH_SLOTS + 40], n = 0;
    CHECK(statistics(table).slots == buckets * 8);
    for (uint64_t key = 1; n < wanted; key++) {
        uint64_t mixed = mix(key, seed);
        if (mixed >> (64 - log2) != 0 || (((mixed ^ mixed >> 32) | 1) & (buckets - 1)) != 1)
            continue;
        keys[n++] = key;
        CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
    }
    while (bid_resizing(table))
        CHECK(bid_remove(table, 0) == BID_ABSENT);
    check_all(table, keys, n);
    struct bid_stats stats = statistics(table);
    CHECK(stats.resize_begun[BID_RESIZE_RESEED] >= 1);
    CHECK(stats.slots == buckets * 8 && stats.seed != seed && stats.entries == n);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------------- the bound -- */

/* The number whose product with an odd one is 1, modulo 2^64: each turn doubles the bits that are right. */
static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;
    for (int i = 0; i < 6; i++)
        x *= 2 - odd * x;
    return x;
}

static uint64_t unmix(uint64_t mixed, uint64_t seed)
{
    uint64_t x = mixed * inverse(0xbb67ae8584caa73bull);
    x ^= x >> 32;
    return x * inverse(0x9e3779b97f4a7c15ull) ^ seed;
}

#define SEED 12345
#define LOG2 10 /* buckets, half of those of the array that comes next: home and step are the same in both */

/* Keys that have home, step and tag in common with number 0, in both arrays. */
static uint64_t twin_key(uint64_t number)
{
    return unmix(1ull << 62 | number << 20 | 0x2a5, SEED);
}

static int is_on_the_twins_path(uint64_t key)
{
    uint64_t home = mix(key, SEED) >> (64 - LOG2 - 1);
    for (uint64_t i = 0; i < BID_PATH_SLOTS / 8; i++)
        for (unsigned more = 0; more < 2; more++) /* in the array that comes next, and in this one */
            if (home >> !more == (((1ull << 62 >> (64 - LOG2 - more)) + i * 0x2a5) & ((1ull << (LOG2 + more)) - 1)))
                return 1;
    return 0;
}

/* The worst lookup that there is: a key that is absent, whose path is full of keys with its tag, in both arrays of a resize.
 * It reads as much as the bound says, and not more. */
static void worst_lookup(void)
{
    struct bid_table *table = make_table((struct bid_options){
        .flags = BID_FIXED_SEED, .seed = SEED, .expected_entries = 8 * 5 / 8 << LOG2, .id_size = 20});
    CHECK(statistics(table).slots == 8 << LOG2);
    for (uint64_t i = 0; i < BID_PATH_SLOTS; i++)
        CHECK_STATUS(insert(table, twin_key(i), 1, 20), BID_OK);
    for (uint64_t key = 1; !bid_resizing(table); key++)
        if (!is_on_the_twins_path(key))
            CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
    uint8_t id[20];
    for (uint64_t i = 0; i < BID_PATH_SLOTS; i++) { /* each is migrated */
        make_id(twin_key(i), 1, id, sizeof id);
        CHECK_STATUS(bid_upsert(table, twin_key(i), 1, id, sizeof id), BID_EXISTS);
    }
    CHECK(bid_resizing(table));
    struct bid_build_id found;
    struct bid_probe_cost cost;
    CHECK_STATUS(bid_lookup_cost(table, twin_key(BID_PATH_SLOTS), &found, &cost), BID_ABSENT);
    printf("the worst lookup: %u slots and %u records read\n", cost.slots, cost.records);
    CHECK(cost.slots == BID_LOOKUP_MAX_SLOTS && cost.records == BID_LOOKUP_MAX_RECORDS);
    bid_destroy(table);
}

/* Of the usual one, what bid_lookup() reads is counted, in the form that it takes: a look at one bucket, and one record. */
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

/* A key whose path is full of others when it is to be copied stops the resize, and no update of other keys. That takes keys made
 * for a seed: here for that of the next array. */
static void other_keys_of_a_crowd(void)
{
    struct bid_table *table = make_table((struct bid_options){.flags = BID_FIXED_SEED, .seed = SEED, .id_size = 20});
    uint64_t next_seed = mix(SEED, 0x5bf03635u), key = 1ull << 32;
    for (uint64_t i = 0; i < BID_PATH_SLOTS + 2; i++)
        CHECK_STATUS(insert(table, unmix(1ull << 62 | i << 20 | 0x2a5, next_seed), 1, 20), BID_OK);
    for (uint64_t i = 0; i < 400; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    for (; !bid_resizing(table); key++) /* until the tombstones are too many */
        CHECK(insert(table, key, 1, 20) == BID_OK && bid_remove(table, key) == BID_OK);
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

/* A path through a small array has all of it. */
static void small_arrays(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct bid_table *table = make_table(
            (struct bid_options){.flags = BID_FIXED_SEED, .seed = seed, .expected_entries = 10, .id_size = 20});
        CHECK(statistics(table).slots == 16);
        for (uint64_t i = 0; i < 10; i++)
            CHECK_STATUS(bid_insert_nmi(table, 0xffff888100000000ull + i * 65536, 0, "x", 1), BID_OK);
        bid_destroy(table);
    }
}

int main(void)
{
    other_keys_of_a_crowd();
    small_arrays();
    worst_lookup();
    usual_lookup();
    strided(20000, 1);
    strided(20000, 8);
    strided(20000, 1128);
    strided(20000, 1 << 20);
    strided(20000, 1ull << 45);
    known_seed(6);
    known_seed(8);
    return 0;
}
