/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * oneTBB's concurrent_hash_map as a design: chains under a read-write lock for each bucket and each entry, both of
 * which a lookup takes.
 */
#if __has_include(<tbb/concurrent_hash_map.h>)

#include <cstring>
#include <memory>
#include <tbb/concurrent_hash_map.h>

extern "C" {
#include "loops.h"
#include "peer.h"
#include "record.h"
}

namespace
{

struct value {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW];
};

struct hash_compare {
    static size_t hash(uint64_t key)
    {
        return rival_hash(key);
    }
    static bool equal(uint64_t a, uint64_t b)
    {
        return a == b;
    }
};

/* Its memory is from malloc(), as everybody's: so it has huge pages here, which its own allocator takes only where the
 * system gives them to all. */
using allocator = std::allocator<std::pair<const uint64_t, value>>;
using table_type = tbb::concurrent_hash_map<uint64_t, value, hash_compare, allocator>;

void *tbb_create(uint64_t, uint64_t)
{
    return new table_type();
}

void tbb_destroy(void *design)
{
    delete static_cast<table_type *>(design);
}

inline int tbb_lookup(void *design, uint64_t key, bid_build_id *id, bid_probe_cost *cost)
{
    table_type::const_accessor found;
    if (cost)
        *cost = bid_probe_cost{0, 0};
    if (!static_cast<table_type *>(design)->find(found, key))
        return BID_ABSENT;
    return rival_answer(found->second.generation, found->second.length, found->second.bytes, id);
}

int tbb_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    int status = rival_accepts(id, length, BID_ID_NARROW);
    value made{generation, static_cast<uint8_t>(length), {}};
    if (status != BID_OK)
        return status;
    if (length)
        std::memcpy(made.bytes, id, length);
    return static_cast<table_type *>(design)->insert({key, made}) ? BID_OK : BID_EXISTS;
}

int tbb_remove(void *design, uint64_t key)
{
    return static_cast<table_type *>(design)->erase(key) ? BID_OK : BID_ABSENT;
}

RIVAL_LOOPS(tbb)

bid_design make()
{
    bid_design design{};
    design.name = "tbb";
    design.summary = "oneTBB's concurrent_hash_map: a read-write lock for each bucket and each entry";
    design.create = tbb_create;
    design.destroy = tbb_destroy;
    design.lookup = tbb_lookup;
    design.insert = tbb_insert;
    design.remove = tbb_remove;
    design.hits = tbb_hits;
    design.chain = tbb_chain;
    design.traits = RIVAL_GROWS;
    return design;
}

} // namespace

extern "C" const bid_design bid_design_peer = make();

#endif
