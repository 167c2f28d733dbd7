/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

/* Sebastiano Vigna's splitmix64, from its published constants (https://prng.di.unimi.it/). */
uint64_t oracle_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Of four versions one is absent: present, absent, present, replaced, and so on. */
static int oracle_is_absent(const struct oracle_key *key, uint64_t version)
{
    return key->batch ? version % 2 == 1 : version % 4 == 1;
}

static uint32_t oracle_generation(const struct oracle_key *key, uint64_t version)
{
    return key->batch ? 0 : (uint32_t)version;
}

/* Mostly 20 bytes; one in eight is longer, one in sixteen says "no build ID". */
static unsigned oracle_length(uint64_t mixed)
{
    switch (mixed % 16) {
    case 0:
        return 0;
    case 1:
        return 32;
    case 2:
        return BID_ID_MAX;
    default:
        return BID_ID_NARROW;
    }
}

int oracle_state(const struct oracle_key *key, uint64_t version, struct bid_build_id *id)
{
    if (oracle_is_absent(key, version))
        return BID_ABSENT;
    memset(id, 0, sizeof *id);
    id->generation = oracle_generation(key, version);
    id->length = key->length;
    memcpy(id->bytes, key->id, BID_ID_MAX);
    if (version) {
        uint64_t state = key->key ^ version * 0xd1342543de82ef95ull;
        id->length = (uint8_t)oracle_length(oracle_random(&state));
        for (unsigned i = 0; i < BID_ID_MAX; i += 8) {
            uint64_t word = oracle_random(&state);
            memcpy(id->bytes + i, &word, 8);
        }
    }
    if (key->longest && id->length > key->longest)
        id->length = key->longest;
    return id->length ? BID_OK : BID_NO_BUILD_ID;
}

uint64_t oracle_lowest(const struct oracle_key *key)
{
    uint64_t done = atomic_load_explicit(&key->done, memory_order_acquire);
    uint64_t seen = atomic_load_explicit(&key->seen, memory_order_acquire);
    return done > seen ? done : seen;
}

uint64_t oracle_highest(const struct oracle_key *key)
{
    return atomic_load_explicit(&key->begun, memory_order_acquire);
}

void oracle_remember(struct oracle_key *key, uint64_t version)
{
    uint64_t old = atomic_load_explicit(&key->seen, memory_order_relaxed);
    while (old < version && !atomic_compare_exchange_weak_explicit(&key->seen, &old, version, memory_order_release,
                                                                   memory_order_relaxed))
        ;
}

static int oracle_same(const struct bid_build_id *answer, const struct bid_build_id *expected)
{
    return answer->generation == expected->generation && answer->length == expected->length &&
           memcmp(answer->bytes, expected->bytes, expected->length) == 0;
}

/* The oldest legal version of a key that names none. */
static int oracle_judge_batch(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                              const struct bid_build_id *id, uint64_t *version)
{
    struct bid_build_id expected;
    for (*version = lowest; *version <= highest; ++*version)
        if (oracle_state(key, *version, &expected) == status && oracle_same(id, &expected))
            return 1;
    *version = UINT64_MAX;
    return 0;
}

static int oracle_judge_absent(const struct oracle_key *key, uint64_t lowest, uint64_t highest, uint64_t *version)
{
    for (*version = lowest; *version <= highest; ++*version)
        if (oracle_is_absent(key, *version))
            return 1;
    *version = UINT64_MAX;
    return 0;
}

int oracle_judge(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                 const struct bid_build_id *id, uint64_t *version)
{
    *version = UINT64_MAX;
    if (status == BID_ABSENT)
        return oracle_judge_absent(key, lowest, highest, version);
    if (status != BID_OK && status != BID_NO_BUILD_ID)
        return 0;
    if (key->batch)
        return oracle_judge_batch(key, lowest, highest, status, id, version);
    /* The low 32 bits of the version, in the window that ends at the highest. */
    *version = highest - (uint32_t)((uint32_t)highest - id->generation);
    struct bid_build_id expected;
    return *version >= lowest && *version <= highest && oracle_state(key, *version, &expected) == status &&
           oracle_same(id, &expected);
}

int oracle_judge_generation(const struct oracle_key *key, uint64_t lowest, uint64_t highest, uint32_t generation,
                            int status, const struct bid_build_id *id, uint64_t *version)
{
    if (status == BID_STALE)
        for (*version = lowest; *version <= highest; ++*version)
            if (!oracle_is_absent(key, *version) && oracle_generation(key, *version) != generation)
                return 1;
    return oracle_judge(key, lowest, highest, status, id, version) &&
           (status == BID_ABSENT || id->generation == generation);
}

static int oracle_is_row(const struct bid_build_id *id, int status, const uint8_t *row, size_t id_size, unsigned length)
{
    unsigned expected = status == BID_ABSENT ? 0 : status == BID_NO_BUILD_ID ? BID_LENGTH_NO_BUILD_ID : id->length;
    size_t bytes = status != BID_OK ? 0 : id->length < id_size ? id->length : id_size;
    if (length != expected || memcmp(row, id->bytes, bytes) != 0)
        return 0;
    while (bytes < id_size && !row[bytes])
        bytes++;
    return bytes == id_size;
}

int oracle_judge_row(const struct oracle_key *key, uint64_t lowest, uint64_t highest, const uint8_t *row,
                     size_t id_size, unsigned length, uint64_t *version)
{
    struct bid_build_id id;
    for (*version = lowest; *version <= highest; ++*version) {
        int status = oracle_state(key, *version, &id);
        if (oracle_is_row(&id, status, row, id_size, length))
            return 1;
    }
    *version = UINT64_MAX;
    return 0;
}

uint64_t oracle_version(struct oracle_contested *contested)
{
    return atomic_fetch_add_explicit(&contested->key.begun, 4, memory_order_relaxed) + 4;
}

int oracle_judge_contested(const struct oracle_contested *contested, int status, const struct bid_build_id *id,
                           uint64_t *version)
{
    *version = UINT64_MAX;
    return status == BID_ABSENT ||
           (oracle_judge(&contested->key, 4, oracle_highest(&contested->key), status, id, version) &&
            *version % 4 == 0);
}

static int oracle_by_key(const void *left, const void *right)
{
    const struct oracle_index *a = left, *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

int oracle_sort(struct oracle *oracle)
{
    oracle->index = calloc(oracle->n + ORACLE_CONTESTED, sizeof *oracle->index);
    if (!oracle->index)
        return -1;
    for (uint64_t i = 0; i < oracle->n; i++)
        oracle->index[i] = (struct oracle_index){oracle->keys[i].key, i};
    for (uint64_t i = 0; i < ORACLE_CONTESTED; i++)
        oracle->index[oracle->n + i] = (struct oracle_index){oracle->contested[i].key.key, oracle->n + i};
    qsort(oracle->index, oracle->n + ORACLE_CONTESTED, sizeof *oracle->index, oracle_by_key);
    return 0;
}

/* Called by handlers: no library. */
uint64_t oracle_find(const struct oracle *oracle, uint64_t key)
{
    uint64_t low = 0, high = oracle->n + ORACLE_CONTESTED;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (oracle->index[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    int there = low < oracle->n + ORACLE_CONTESTED && oracle->index[low].key == key;
    return there ? oracle->index[low].number : ORACLE_NOBODY;
}
