/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The mixing hash: home, step and tag of a probe sequence each depend on every bit of the key. Keys that differ in a
 * few bits only, whichever these are, cost no more than any others. All seeds are fixed. */
#include "check.h"

#include "hash.h"

#define TAG_BITS 15
#define HOME_BITS                                                                                                      \
    17 /* of an array of a million slots: in larger ones the last bits of a tag do not depend on the key's first */
#define STEP_BITS 20 /* of an array of a million buckets; bit 0 is made 1 */

static uint64_t random_state = 2023;

/* splitmix64, which has nothing in common with the hash. */
static uint64_t draw(void)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* -------------------------------------------------------------------------------------------- avalanche -- */

#define SAMPLES 4000

struct parts {
    uint64_t home, step, tag; /* home: its first bits, which are the top ones, come first */
};

static struct parts parts_of(uint64_t key, uint64_t seed)
{
    uint64_t mixed = bid_mix(key, seed);
    struct bid_sequence home = bid_sequence_mixed(mixed, 1u << HOME_BITS);
    uint64_t step = bid_step(mixed, 1u << STEP_BITS);
    return (struct parts){home.bucket, step >> 1, home.tag & ((1u << TAG_BITS) - 1)};
}

static void count_flips(unsigned *flips, uint64_t changed, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        flips[i] += changed >> i & 1;
}

/* Each bit of a part flips with a probability of `least` at the least when a bit of the key does, and on average about
 * every other time. */
static void check_flips(const char *part, unsigned bit, const unsigned *flips, unsigned bits, double least)
{
    double sum = 0;
    for (unsigned i = 0; i < bits; i++) {
        double share = flips[i] / (double)SAMPLES;
        if (share < least || share > 1 - least)
            fprintf(stderr, "bit %u of the key flips bit %u of the %s in %.3f of all cases\n", bit, i, part, share);
        CHECK(share >= least && share <= 1 - least);
        sum += share;
    }
    CHECK(sum / bits > 0.3 && sum / bits < 0.7);
}

static void avalanche(void)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        unsigned home[HOME_BITS] = {0}, step[STEP_BITS] = {0}, tag[TAG_BITS] = {0};
        for (unsigned i = 0; i < SAMPLES; i++) {
            uint64_t key = draw(), seed = draw();
            struct parts one = parts_of(key, seed), other = parts_of(key ^ 1ull << bit, seed);
            count_flips(home, one.home ^ other.home, HOME_BITS);
            count_flips(step, one.step ^ other.step, STEP_BITS - 1);
            count_flips(tag, one.tag ^ other.tag, TAG_BITS);
        }
        check_flips("home bucket", bit, home, HOME_BITS, 0.02);
        check_flips("step", bit, step, STEP_BITS - 1, 0.02);
        check_flips("tag", bit, tag, TAG_BITS, 0.02);
    }
}

/* ----------------------------------------------------------------------------- keys that differ in 17 bits -- */

#define FEW_BITS 17
#define KEYS 40000

/* Spreads the low bits of a number over the bits of a mask. */
static uint64_t spread(uint64_t number, uint64_t mask)
{
    uint64_t key = 0;
    for (; mask; mask &= mask - 1, number >>= 1)
        key |= number & 1 ? mask & -mask : 0;
    return key;
}

/* Records that a lookup reads on average. */
static double mean_records(uint64_t mask, uint64_t seed)
{
    struct bid_table *table = make_table(
        (struct bid_options){.flags = BID_FIXED_SEED, .seed = seed, .expected_entries = KEYS, .id_size = 20});
    uint64_t base = draw() & ~mask, start = draw(), records = 0;
    for (uint64_t i = 0; i < KEYS; i++)
        CHECK_STATUS(bid_insert(table, base | spread(start + i * 3, mask), 0, &i, sizeof i), BID_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        struct bid_build_id id;
        struct bid_probe_cost cost;
        CHECK_STATUS(bid_lookup_cost(table, base | spread(start + i * 3, mask), &id, &cost), BID_OK);
        CHECK(memcmp(id.bytes, &i, sizeof i) == 0);
        records += cost.records;
    }
    bid_destroy(table);
    return (double)records / KEYS;
}

static uint64_t draw_mask(void)
{
    uint64_t mask = 0;
    while (__builtin_popcountll(mask) < FEW_BITS)
        mask |= 1ull << draw() % 64;
    return mask;
}

static void few_bits(uint64_t mask)
{
    double records = mean_records(mask, draw());
    if (records > 1.02)
        fprintf(stderr, "keys that differ in the bits %#lx only: %.2f records a lookup\n", (unsigned long)mask,
                records);
    CHECK(records <= 1.02);
}

int main(void)
{
    for (unsigned first = 0; first + FEW_BITS <= 64; first++)
        few_bits(((1ull << FEW_BITS) - 1) << first);
    for (int i = 0; i < 40; i++)
        few_bits(draw_mask());
    avalanche();
    return 0;
}
