/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The platform of a table whose memory is a region's: in the place of table/platform_user.c. */
#define bid_platform_map user_platform_map
#define bid_platform_unmap user_platform_unmap
#define bid_platform_empty user_platform_empty
#define bid_platform_populate user_platform_populate
#define bid_platform_barrier user_platform_barrier
#include "../../table/platform_user.c"
#undef bid_platform_map
#undef bid_platform_unmap
#undef bid_platform_empty
#undef bid_platform_populate
#undef bid_platform_barrier
#include "../region.h"
#include <string.h>

struct bid_bpf_region *bid_platform_region;

void *bid_platform_map(size_t bytes, size_t huge)
{
    struct bid_bpf_region *region = bid_platform_region;
    size_t pages = (bytes + 4095) / 4096, run = 0;
    void *memory = NULL;
    (void)huge;
    pthread_mutex_lock(&region->lock);
    for (size_t i = 0; i < region->bytes / 4096 && !memory; i++) {
        run = region->used[i] ? 0 : run + 1;
        if (run == pages) {
            memset(region->used + i + 1 - pages, 1, pages);
            memory = region->base + (i + 1 - pages) * 4096;
        }
    }
    pthread_mutex_unlock(&region->lock);
    if (memory)
        memset(memory, 0, pages * 4096);
    return memory;
}

void bid_platform_empty(void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
}

void bid_platform_unmap(void *address, size_t bytes)
{
    struct bid_bpf_region *region = bid_platform_region;
    pthread_mutex_lock(&region->lock);
    memset(region->used + ((char *)address - region->base) / 4096, 0, (bytes + 4095) / 4096);
    pthread_mutex_unlock(&region->lock);
}

int bid_platform_populate(void *address, size_t bytes, int lock)
{
    (void)address;
    (void)bytes;
    (void)lock;
    return BID_OK;
}

void bid_platform_barrier(const struct bid_pins *pins)
{
    user_platform_barrier(pins);
    bid_bpf_synchronize();
}
