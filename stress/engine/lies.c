/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Designs that lie now and then, to show that the harness can tell. Each is our own table with one falsehood.
 */
#include "lies.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define LIE_EVERY 100 /* of so many calls one is a lie */
#define LIE_OLD 4096  /* answers that a liar remembers */

static int lie_now(void)
{
    static atomic_uint calls;
    return atomic_fetch_add(&calls, 1) % LIE_EVERY == LIE_EVERY - 1;
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

/* What this key was said to be some time ago. An answer is written once, by who claimed its place, and then read. */
static int lie_back(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    static struct bid_build_id old[LIE_OLD];
    static _Atomic(uint64_t) claimed[LIE_OLD], owner[LIE_OLD];
    unsigned number = (unsigned)(key * 0x9e3779b97f4a7c15ull >> 52) % LIE_OLD;
    uint64_t nobody = 0;
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (status != BID_OK)
        return status;
    if (atomic_load(&owner[number]) == key) {
        if (lie_now())
            *id = old[number];
    } else if (atomic_compare_exchange_strong(&claimed[number], &nobody, key)) {
        old[number] = *id;
        atomic_store(&owner[number], key);
    }
    return status;
}

/* Another generation's build ID, as an answer to a lookup that named its own. */
static int lie_stale(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id)
{
    int status = bid_design_ours.lookup_generation(design, key, generation, id);
    return status == BID_STALE && lie_now() ? bid_design_ours.lookup(design, key, id, NULL) : status;
}

static int lie_errno(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    if (lie_now())
        errno = EBUSY;
    return bid_design_ours.lookup(design, key, id, cost);
}

static int lie_long(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    int status = bid_design_ours.lookup(design, key, id, cost);
    if (cost && lie_now())
        cost->slots = BID_LOOKUP_MAX_SLOTS + 1;
    return status;
}

static int lie_lost(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return lie_now() ? BID_OK : bid_design_ours.insert(design, key, generation, id, length);
}

static int lie_refused(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    return lie_now() ? BID_E_NO_MEMORY : bid_design_ours.replace(design, key, generation, id, length);
}

static int lie_twice(void *design, uint64_t key)
{
    int status = bid_design_ours.remove(design, key);
    return status == BID_ABSENT && lie_now() ? BID_OK : status;
}

static uint64_t lie_count(const void *design)
{
    return bid_design_ours.count(design) + 1;
}

static int lie_death(void *design, uint64_t key)
{
    if (lie_now())
        raise(SIGKILL); /* no signal that leaves a core file */
    return bid_design_ours.remove(design, key);
}

static const struct {
    const char *name, *summary;
    struct bid_design lie; /* what is not NULL here replaces ours */
} lies[] = {
    {"lying-absent", "says absent where there is an entry", {.lookup = lie_absent}},
    {"lying-torn", "gives half of a build ID", {.lookup = lie_torn}},
    {"lying-back", "gives what it had given earlier", {.lookup = lie_back}},
    {"lying-stale", "gives the build ID of another generation", {.lookup_generation = lie_stale}},
    {"lying-lost", "loses an insert", {.insert = lie_lost}},
    {"lying-errno", "changes errno in a lookup", {.lookup = lie_errno}},
    {"lying-long", "reads more slots than its bound", {.lookup = lie_long}},
    {"lying-refused", "refuses a replace without need", {.replace = lie_refused}},
    {"lying-twice", "removes what was removed already", {.remove = lie_twice}},
    {"lying-count", "counts one entry too many", {.count = lie_count}},
    {"lying-death", "dies in a remove", {.remove = lie_death}},
};

const struct bid_design *lie_design(unsigned i)
{
    static struct bid_design made[sizeof lies / sizeof *lies];
    if (i >= sizeof lies / sizeof *lies)
        return NULL;
    const struct bid_design *lie = &lies[i].lie;
    made[i] = bid_design_ours;
    made[i].name = lies[i].name;
    made[i].summary = lies[i].summary;
    made[i].lookup = lie->lookup ? lie->lookup : made[i].lookup;
    made[i].lookup_generation = lie->lookup_generation ? lie->lookup_generation : made[i].lookup_generation;
    made[i].insert = lie->insert ? lie->insert : made[i].insert;
    made[i].replace = lie->replace ? lie->replace : made[i].replace;
    made[i].remove = lie->remove ? lie->remove : made[i].remove;
    made[i].count = lie->count ? lie->count : made[i].count;
    return &made[i];
}
