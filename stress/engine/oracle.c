/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "oracle.h"

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
static int oracle_is_absent(uint64_t version)
{
    return version % 4 == 1;
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
    if (oracle_is_absent(version))
        return BID_ABSENT;
    memset(id, 0, sizeof *id);
    id->generation = (uint32_t)version;
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
    return id->length ? BID_OK : BID_NO_BUILD_ID;
}

static int oracle_same(const struct bid_build_id *answer, const struct bid_build_id *expected)
{
    return answer->generation == expected->generation && answer->length == expected->length &&
           memcmp(answer->bytes, expected->bytes, expected->length) == 0;
}

int oracle_judge(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                 const struct bid_build_id *id, uint64_t *version)
{
    if (status == BID_ABSENT) {
        for (*version = lowest; *version <= highest; ++*version)
            if (oracle_is_absent(*version))
                return 1;
        return 0;
    }
    *version = UINT64_MAX;
    if (status != BID_OK && status != BID_NO_BUILD_ID)
        return 0;
    /* The low 32 bits of the version, in the window that ends at the highest. */
    *version = highest - (uint32_t)((uint32_t)highest - id->generation);
    struct bid_build_id expected;
    return *version >= lowest && *version <= highest && oracle_state(key, *version, &expected) == status &&
           oracle_same(id, &expected);
}
