/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lookups in every form of keys of every kind: what their slot says, and what else there is in its bucket. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "../common/unmix.h"

#define LONG BID_ID_MAX

/* Where a key's home bucket is, and what a lookup finds there. */
enum place {
    APART,        /* nothing else of its tag */
    BESIDE,       /* others of its tag, and no EMPTY slot */
    FIRST,        /* as APART, in the bucket that a resize begins with */
    FIRST_BESIDE, /* as BESIDE, there */
    PLACES
};

static const struct kind {
    int status;
    unsigned length;
    int removed;
} kinds[] = {
    {BID_OK, 20, 0}, {BID_OK, LONG, 0}, {BID_NO_BUILD_ID, 0, 0}, {BID_ABSENT, 20, 1}, {BID_ABSENT, 20, 0},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static uint64_t key_of(enum place place, uint64_t number)
{
    switch (place) {
    case APART:
        return unmix(0x8000000000000000ull | number << 57, SEED);
    case BESIDE:
        return path_key(300 + number);
    case FIRST:
        return unmix(number << 48, SEED);
    default:
        return unmix(1ull << 52 | number, SEED);
    }
}

static uint64_t of_another_tag; /* absent, and its home bucket is the full one of KEY */

static void find_another_tag(void)
{
    const struct bid_array *head = bid_head(stepped);
    struct bid_sequence full = bid_sequence(head, KEY), other;
    uint64_t bit = 1ull << 50;
    do {
        of_another_tag = unmix(0x5ca1ab1e00000000ull ^ bit, SEED);
        other = bid_sequence(head, of_another_tag);
        bit >>= 1;
    } while (other.bucket != full.bucket);
    CHECK(other.tag != full.tag);
}

static void give(uint64_t key, const struct kind *kind)
{
    if (kind->status == BID_ABSENT && !kind->removed)
        return;
    CHECK_STATUS(insert(stepped, key, 1, kind->length), BID_OK);
    if (kind->removed)
        CHECK_STATUS(bid_remove(stepped, key), BID_OK);
}

void prepare_kinds(void)
{
    prepare_key();
    for (unsigned place = 0; place < PLACES; place++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            give(key_of((enum place)place, kind), &kinds[kind]);
    for (uint64_t number = 0; number < 4; number++) { /* whatever is left of the crowded buckets */
        CHECK_STATUS(insert(stepped, path_key(400 + number), 1, 20), BID_OK);
        CHECK_STATUS(insert(stepped, key_of(FIRST_BESIDE, 100 + number), 1, 20), BID_OK);
    }
    find_another_tag();
}

static void prepare_kinds_in_resize(void)
{
    prepare_kinds();
    prepare_resize();
}

static int look_up_rows(uint64_t key, int there, size_t length)
{
    static const size_t widths[] = {4, 20, LONG}; /* the first cuts off, and has no room for a slot word */
    uint8_t row[LONG], lengths[1];
    for (unsigned i = 0; i < (length > 20 ? 3 : 2); i++) {
        EXPECT((int)bid_lookup_many(stepped, &key, 1, row, widths[i], lengths), there && length);
        EXPECT(lengths[0], !there ? 0 : length ? (int)length : BID_LENGTH_NO_BUILD_ID);
    }
    return BID_OK;
}

static int look_up_in_forms(uint64_t key, int status, size_t length)
{
    struct bid_build_id id;
    struct bid_probe_cost cost;
    int there = status != BID_ABSENT;
    EXPECT(bid_lookup(stepped, key, &id), status);
    EXPECT(bid_lookup_generation(stepped, key, 1, &id), status);
    EXPECT(bid_lookup_generation(stepped, key, 2, &id), there ? BID_STALE : BID_ABSENT);
    EXPECT(bid_lookup_cost(stepped, key, &id, &cost), status);
    return look_up_rows(key, there, length);
}

static int look_up_kinds(void)
{
    for (unsigned place = 0; place < PLACES; place++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            EXPECT(look_up_in_forms(key_of((enum place)place, kind), kinds[kind].status, kinds[kind].length), BID_OK);
    return look_up_in_forms(of_another_tag, BID_ABSENT, 0);
}

/* Updates a key whose home bucket is full of keys with other tags. */
static int insert_behind_others(void)
{
    EXPECT(insert(stepped, of_another_tag, 1, 20), BID_OK);
    return bid_remove(stepped, of_another_tag);
}

/* Looks up no key, one, and more than one pin is held for. */
static int look_up_batches(void)
{
    static uint64_t keys[300];
    static uint8_t ids[300][20], lengths[300];
    for (uint64_t i = 0; i < 300; i++)
        keys[i] = i == 280 ? inode_key(1) : inode_key(6000 + i);
    EXPECT((int)bid_lookup_many(stepped, keys, 0, ids[0], sizeof ids[0], lengths), 0);
    EXPECT((int)bid_lookup_many(stepped, keys, 1, ids[0], sizeof ids[0], lengths), 0);
    return bid_lookup_many(stepped, keys, 300, ids[0], sizeof ids[0], lengths) == 1 && lengths[280] == 20 ? BID_OK
                                                                                                          : BID_E_NULL;
}

static int stop_at_key(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)id;
    *(int *)argument = status;
    return key == KEY;
}

/* Looks up and iterates within a visit: pins nest. */
static int visit_in_a_visit(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)status, (void)id;
    struct bid_build_id again;
    return bid_lookup(stepped, key, &again) == BID_OK && bid_iterate(stepped, stop_at_key, &status) == 1 ? 2 : 3;
}

static int iterate_until(void)
{
    int seen = BID_ABSENT;
    EXPECT(bid_iterate(stepped, visit_in_a_visit, &seen), 2);
    EXPECT(bid_iterate(stepped, stop_at_key, &seen), 1);
    return seen;
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options fenced = {.expected_entries = 1, .id_size = LONG, .flags = BID_FENCED_PINS};
static const struct bid_options fenced_roomy = {.expected_entries = 6000, .id_size = LONG, .flags = BID_FENCED_PINS};

const struct scenario kind_scenarios[] = {
    {"lookup-kinds", "keys of every kind, in every form of lookup", LONG_ONES, &roomy, prepare_kinds, look_up_kinds, 1,
     1, BID_OK},
    {"lookup-kinds-resizing", "the same across a resize", COMPOUND, &small, prepare_kinds_in_resize, look_up_kinds, 1,
     1, BID_OK},
    {"lookup-kinds-fenced", "the same with fenced pins", LONG_ONES, &fenced_roomy, prepare_kinds, look_up_kinds, 1, 1,
     BID_OK},
    {"lookup-kinds-fenced-resizing", "the same with fenced pins across a resize", COMPOUND, &fenced,
     prepare_kinds_in_resize, look_up_kinds, 1, 1, BID_OK},
    {"lookup-batches", "lookup of more keys than one pin is held for", LONG_ONES, &roomy, prepare_key, look_up_batches,
     1, 1, BID_OK},
    {"insert-behind-others", "insert into a probe sequence whose first bucket is full of other tags", COMPOUND, &roomy,
     prepare_kinds, insert_behind_others, 1, 1, BID_OK},
    {"iterate-until-fenced", "the next one with fenced pins", COMPOUND, &fenced, prepare_key, iterate_until, 1, 1,
     BID_OK},
    {"iterate-until", "iteration that a visit ends, and one in a visit", COMPOUND, &small, prepare_key, iterate_until,
     1, 1, BID_OK},
    {0},
};
