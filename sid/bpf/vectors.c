/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The same vectors for both forms: after each of many updates, at every stage of resizes, BPF programs must answer as
 * the C functions do. Usage: vectors OBJECT
 */
#include "vectors.h"
#include "load.h"

#include "table.h"

#include <stdint.h>

#define KEYS 3000

static struct vector *vectors;
static int answer, resizing;

static uint64_t key_of(unsigned i)
{
    return 0xffff888000000000ull + i * 0x5b8ull;
}

static void put(struct bid_table *table, unsigned i, unsigned generation)
{
    static const uint8_t lengths[] = {20, 20, 20, 8, 1, 0, 19};
    uint8_t id[BID_ID_MAX];
    for (unsigned j = 0; j < sizeof id; j++)
        id[j] = (uint8_t)(i * 31 + j * 7 + generation);
    CHECK(bid_upsert(table, key_of(i), generation, id, lengths[i % sizeof lengths]) >= 0);
}

/* Every key, absent ones too, for any generation, the right one and a wrong one. */
static void compare(struct bid_table *table, unsigned from)
{
    for (unsigned i = 0; i < VECTORS; i++)
        vectors[i] = (struct vector){.key = key_of((from + i) % (KEYS + 200)), .generation = i % 5, .any = i % 3 == 0};
    CHECK(!run(answer));
    resizing += bid_resizing(table);
    for (unsigned i = 0; i < VECTORS; i++) {
        const struct vector *asked = &vectors[i];
        struct bid_build_id id = {0};
        int status = asked->any ? bid_lookup(table, asked->key, &id)
                                : bid_lookup_generation(table, asked->key, asked->generation, &id);
        CHECK(asked->status == status);
        if (status == BID_OK || status == BID_NO_BUILD_ID) {
            CHECK(asked->id.generation == id.generation);
            CHECK(asked->id.length == id.length);
        }
        CHECK(status != BID_OK || !memcmp(asked->id.bytes, id.bytes, id.length));
    }
}

/* Removes every third key by BPF; what it says must be true. Returns how many went. */
static uint64_t remove_some(struct bid_table *table, unsigned first)
{
    memset(vectors, 0, VECTORS * sizeof *vectors);
    uint64_t count = bid_count(table), gone = 0;
    for (unsigned i = 0; i < VECTORS; i++)
        vectors[i] = (struct vector){.key = key_of(first + i * 3), .generation = i % 2, .any = i % 4 != 0, .remove = 1};
    CHECK(!run(answer));
    for (unsigned i = 0; i < VECTORS; i++) {
        struct bid_build_id id;
        int there = bid_lookup(table, vectors[i].key, &id) != BID_ABSENT;
        switch (vectors[i].status) {
        case BID_OK:
            gone++;
            CHECK(!there);
            break;
        case BID_ABSENT:
            CHECK(!there);
            break;
        default:
            CHECK(vectors[i].status == BID_STALE && there && !vectors[i].any);
        }
    }
    CHECK(bid_count(table) == count - gone);
    return gone;
}

/* Seals a key in the head array as a thread does that is stopped before it copies the entry. */
static int seal(struct bid_table *table, uint64_t key)
{
    struct bid_array *head = bid_head(table);
    for (uint64_t bucket = 0; bucket < head->buckets; bucket++)
        for (unsigned slot = 0; slot < BID_BUCKET_SLOTS; slot++) {
            bid_word *at = &bid_bucket(head->base, bucket)[slot];
            uint64_t word = bid_load(at, BID_RELAXED);
            if (bid_word_is_live(word) && !(word & BID_FROZEN) && bid_record_of(head->base, word)->key == key)
                return bid_cas(at, &word, word | BID_FROZEN, BID_P_RELEASE);
        }
    return 0;
}

/* What a BPF program finds sealed it leaves to the process, and changes nothing. */
static void leave_sealed(struct bid_table *table)
{
    struct bid_build_id id;
    unsigned i = 0, sealed = 0;
    while (!bid_resizing(table))
        put(table, i++, 0);
    for (unsigned k = 0; k < i && sealed < 10 && bid_resizing(table); k++) {
        if (!seal(table, key_of(k)))
            continue;
        sealed++;
        vectors[0] = (struct vector){.key = key_of(k), .any = 1, .remove = 1};
        CHECK(!run(answer));
        CHECK(vectors[0].status == BID_BPF_E_BUSY);
        CHECK(bid_lookup(table, key_of(k), &id) != BID_ABSENT);
        CHECK(bid_remove(table, key_of(k)) == BID_OK);
        CHECK(bid_lookup(table, key_of(k), &id) == BID_ABSENT);
    }
    CHECK(sealed);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    struct bid_bpf_region *region = region_or_skip(16 << 20);
    struct bid_table *table = bid_bpf_region_table(region);
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    answer = program_fd(object, "answer");
    vectors = mmap(NULL, VECTORS * sizeof *vectors, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(object, "vectors"), 0);
    CHECK(vectors != MAP_FAILED);
    compare(table, 0);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            put(table, i, round + i % 2);
            if (i % 40 == 0 || bid_resizing(table))
                compare(table, i);
        }
        CHECK(remove_some(table, 0));
        compare(table, 1);
        for (unsigned i = 0; i < KEYS; i++) {
            bid_remove(table, key_of(i));
            if (i % 40 == 0)
                compare(table, i);
            if (bid_resizing(table))
                remove_some(table, i);
        }
        CHECK(bid_shrink(table) >= 0);
    }
    leave_sealed(table);
    CHECK(!bid_audit(table, 0));
    printf("%llu resizes, %d comparisons in the midst of one\n", (unsigned long long)bid_resizes(table), resizing);
    CHECK(bid_resizes(table) > 4 && resizing);
    libbpf->bpf_object__close(object);
    bid_bpf_region_destroy(region);
    return 0;
}
