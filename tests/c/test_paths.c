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

/* Every key in one home bucket under a weak hash: the table must hold them all in memory like that of a good hash. */
static void weak_hash(uint32_t hash, uint32_t shift, uint64_t n, uint64_t stride)
{
    struct bid_table *table = make_table((struct bid_options){.hash = hash, .hash_shift = shift, .id_size = 20});
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
    printf("hash %u shift %u: %lu entries, %lu slots, at most %u slots read, %lu reseeds\n", hash, shift,
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
        if (mixed >> (64 - log2) != 0 || ((mixed | 1) & (buckets - 1)) != 1)
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

int main(void)
{
    weak_hash(BID_HASH_MIDDLE_BITS, 63, 20000, 8);
    weak_hash(BID_HASH_MIDDLE_BITS, 40, 20000, 1128);
    weak_hash(BID_HASH_MIDDLE_BITS, 14, 20000, 1128);
    weak_hash(BID_HASH_MIDDLE_BITS, 10, 20000, 1128);
    weak_hash(BID_HASH_MIDDLE_BITS, 4, 20000, 1024);
    weak_hash(BID_HASH_MIDDLE_BITS, 0, 20000, 1 << 20);
    weak_hash(BID_HASH_XOR_FOLD, 0, 20000, 1128);
    weak_hash(BID_HASH_XOR_FOLD, 0, 20000, 1ull << 40);
    weak_hash(BID_HASH_MIX, 0, 20000, 1);
    weak_hash(BID_HASH_MIX, 0, 20000, 1ull << 45);
    known_seed(6);
    known_seed(8);
    return 0;
}
