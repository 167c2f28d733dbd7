/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A table is made, filled and published in a region (H), and a reader that knows the region alone looks up. The region
 * is where it says that it is, for the model checker cannot follow another mapping of the same memory; so what a reader
 * adds to each address is 0 here.
 */
#include "bid/region.h"

/* With a value, and not static: so the compiler lays it out before the table, which is at an offset from it. */
struct bid_region region = {.bytes = UINT64_MAX};

#include "model.h"

#include "../region/reader.c"
#include "../region/region.c"

static void *updater(void *unused)
{
    model_enter(1);
    model_setup();
    table.flavor = &bid_flavor_shared;
    assert(model_insert(7, 1) == BID_OK);
    assert(bid_region_publish(&region, 0, &table) == BID_OK);
    return unused;
}

static void *reader(void *unused)
{
    struct bid_build_id id;
    int status = bid_region_lookup(&region, 0, 7, &id);
    assert(status == BID_ABSENT || (status == BID_OK && id.bytes[0] == 1));
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    region.address = (uintptr_t)&region;
    model_start(&threads, updater);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
