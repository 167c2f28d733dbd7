/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Memory for a region that is mapped twice: to update at one address, to read at another. */
#ifndef SHARED_REGION_H
#define SHARED_REGION_H

#include "check.h"

#include "bid/region.h"

#include <sys/mman.h>
#include <unistd.h>

struct shared_region {
    int file;
    size_t bytes;
    void *memory; /* of the updating process */
    struct bid_region *region;
    struct bid_allocator allocator;
};

static inline struct shared_region make_region(size_t bytes)
{
    struct shared_region shared = {.file = memfd_create("region", 0), .bytes = bytes};
    CHECK(shared.file >= 0 && ftruncate(shared.file, (off_t)bytes) == 0);
    shared.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared.file, 0);
    CHECK(shared.memory != MAP_FAILED);
    CHECK_STATUS(bid_region_init(shared.memory, bytes, &shared.region, &shared.allocator), BID_OK);
    return shared;
}

static inline struct bid_table *make_shared_table(const struct shared_region *shared, struct bid_options options)
{
    options.allocator = &shared->allocator;
    options.flavor = &bid_flavor_shared;
    struct bid_table *table = make_table(options);
    CHECK_STATUS(bid_region_publish(shared->region, 0, table), BID_OK);
    return table;
}

/* As somebody else maps it, who may not write. Not where it is mapped already. */
static inline const struct bid_region *map_for_reading(const struct shared_region *shared)
{
    const struct bid_region *region;
    void *memory = mmap(NULL, shared->bytes, PROT_READ, MAP_SHARED, shared->file, 0);
    CHECK(memory != MAP_FAILED && memory != shared->memory);
    CHECK_STATUS(bid_region_open(memory, shared->bytes, &region), BID_OK);
    return region;
}

static inline void give_up_region(struct shared_region *shared)
{
    CHECK(munmap(shared->memory, shared->bytes) == 0 && close(shared->file) == 0);
}

#endif
