/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Designs that lie now and then, to show that the oracle can tell. Each is our own table with one falsehood.
 */
#include "lies.h"

#include <stdatomic.h>
#include <string.h>

static int lie_now(void)
{
    static atomic_uint calls;
    return atomic_fetch_add(&calls, 1) % 1000 == 999;
}

static int lie_absent(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    return lie_now() ? BID_ABSENT : status;
}

/* Half of one ID, half of another. */
static int lie_torn(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (status == BID_OK && lie_now())
        memset(id->bytes + id->length / 2, 0, id->length - id->length / 2u);
    return status;
}

/* What this key, or another one with the same number here, was said to be some time ago. */
static int lie_back(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    static struct bid_build_id old[4096];
    static _Atomic(uint64_t) owner[4096];
    unsigned number = (unsigned)(key * 0x9e3779b97f4a7c15ull >> 52);
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (status != BID_OK)
        return status;
    if (atomic_load(&owner[number]) == key && lie_now())
        *id = old[number];
    else if (atomic_exchange(&owner[number], 0) == 0) {
        old[number] = *id;
        atomic_store(&owner[number], key);
    }
    return status;
}

static int lie_lost(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return lie_now() ? BID_OK : bid_design_ours.insert(design, key, generation, id, length);
}

static struct bid_design lie_designs[] = {
    {.name = "lying-absent", .summary = "says absent where there is an entry"},
    {.name = "lying-torn", .summary = "gives half of a build ID"},
    {.name = "lying-back", .summary = "gives what it had given earlier"},
    {.name = "lying-lost", .summary = "loses an insert"},
};

const struct bid_design *lie_design(unsigned i)
{
    if (i >= sizeof lie_designs / sizeof *lie_designs)
        return NULL;
    struct bid_design *lie = &lie_designs[i];
    const char *name = lie->name, *summary = lie->summary;
    *lie = bid_design_ours;
    lie->name = name;
    lie->summary = summary;
    if (i == 3)
        lie->insert = lie_lost;
    else
        lie->lookup = i == 0 ? lie_absent : i == 1 ? lie_torn : lie_back;
    return lie;
}
