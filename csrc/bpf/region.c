/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A region of BPF memory and the table in it. bpf(2) is called directly: a region needs no libbpf.
 *
 * Readers are BPF programs, which run inside of sections of RCU: so their grace periods are those of RCU. A thread
 * observes them (bid_grace_begin()), in system calls that return after one.
 */
#define _GNU_SOURCE
#include "region.h"

#include "syscall.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define BID_REGION_LEAST (1ull << 20)
#define BID_OBSERVE_MS 50 /* between two looks for something that waits */

static int bid_map_create(uint32_t type, uint32_t flags, uint32_t value_size, uint64_t entries, int inner)
{
    union bpf_attr attribute = bid_attribute();
    attribute.map_type = type;
    attribute.map_flags = flags;
    attribute.key_size = sizeof(uint32_t);
    attribute.value_size = value_size;
    attribute.max_entries = (uint32_t)entries;
    attribute.inner_map_fd = (uint32_t)inner;
    memcpy(attribute.map_name, "bid_region", sizeof "bid_region");
    return bid_bpf(BPF_MAP_CREATE, &attribute);
}

/* ------------------------------------------------------------------------------------- grace periods -- */

/* The kernel waits for a grace period after an update of a map of maps, so that programs see the new map at once. */
static int bid_synchronize_by_map(void)
{
    uint32_t zero = 0, inner_fd;
    int inner = bid_map_create(BPF_MAP_TYPE_ARRAY, 0, sizeof zero, 1, 0), status = -1;
    int outer = inner < 0 ? -1 : bid_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 0, sizeof zero, 1, inner);
    if (outer >= 0) {
        union bpf_attr attribute = bid_attribute();
        inner_fd = (uint32_t)inner;
        attribute.map_fd = (uint32_t)outer;
        attribute.key = (uint64_t)(uintptr_t)&zero;
        attribute.value = (uint64_t)(uintptr_t)&inner_fd;
        status = bid_bpf(BPF_MAP_UPDATE_ELEM, &attribute);
        close(outer);
    }
    if (inner >= 0)
        close(inner);
    return status;
}

/* A grace period of RCU: when it returns 0 no BPF program is running that ran when it was called. membarrier() waits
 * for one but where there is a single processor, or one that runs without ticks (nohz_full, where it is refused). */
static int bid_synchronize(void)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
        return 0;
    return bid_synchronize_by_map();
}

/* Returns whether there was anything to wait for. */
static int bid_observe(struct bid_table *table)
{
    uint64_t number = bid_grace_begin(table);
    if (!number || bid_synchronize())
        return 0;
    bid_grace_end(table, number);
    return 1;
}

static void *bid_observer_run(void *argument)
{
    struct bid_bpf_region *region = argument;
    struct pollfd wake = {.fd = region->wake, .events = POLLIN};
    while (poll(&wake, 1, bid_observe(region->table) ? 0 : BID_OBSERVE_MS) <= 0)
        ;
    return NULL;
}

void bid_bpf_region_synchronize(struct bid_bpf_region *region)
{
    if (bid_observe(region->table))
        bid_reclaim(region->table);
}

/* -------------------------------------------------------------------------------- create and destroy -- */

/* All that the map's memory needs is in the kernel when this returns. */
static int bid_region_fill(struct bid_bpf_region *region)
{
    struct bid_options options = {
        .size = sizeof options, .allocator = &region->allocator, .flavor = &bid_flavor_shared};
    region->fd = bid_map_create(BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, BID_BPF_LINE, region->bytes / BID_BPF_LINE, 0);
    if (region->fd < 0)
        return errno == ENOMEM ? BID_E_NO_MEMORY : BID_E_UNSUPPORTED;
    region->memory = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region->fd, 0);
    if (region->memory == MAP_FAILED)
        return BID_E_NO_MEMORY;
    int status = bid_region_init(region->memory, region->bytes, &region->region, &region->allocator);
    if (status == BID_OK)
        status = bid_create(&region->table, &options);
    if (status == BID_OK)
        status = bid_region_publish(region->region, 0, region->table);
    if (status != BID_OK)
        return status;
    region->wake = eventfd(0, EFD_CLOEXEC);
    region->observing = region->wake >= 0 && pthread_create(&region->observer, NULL, bid_observer_run, region) == 0;
    return region->observing ? BID_OK : BID_E_NO_MEMORY;
}

int bid_bpf_region_create(struct bid_bpf_region **result, uint64_t bytes)
{
    if (!result)
        return BID_E_NULL;
    *result = NULL;
    bytes = bytes ? bytes : BID_BPF_REGION_DEFAULT;
    if (bytes % (uint64_t)sysconf(_SC_PAGESIZE) || bytes < BID_REGION_LEAST || bytes / BID_BPF_LINE > UINT32_MAX)
        return BID_E_OPTIONS;
    struct bid_bpf_region *region = calloc(1, sizeof *region);
    if (!region)
        return BID_E_NO_MEMORY;
    *region = (struct bid_bpf_region){.fd = -1, .wake = -1, .bytes = bytes, .memory = MAP_FAILED};
    int status = bid_region_fill(region);
    if (status == BID_OK)
        *result = region;
    else
        bid_bpf_region_destroy(region);
    return status;
}

void bid_bpf_region_destroy(struct bid_bpf_region *region)
{
    uint64_t one = 1;
    if (!region)
        return;
    int error = errno;
    if (region->observing && write(region->wake, &one, sizeof one) == sizeof one)
        pthread_join(region->observer, NULL);
    if (region->table) { /* programs that are attached still find an empty region */
        bid_region_publish(region->region, 0, NULL);
        bid_synchronize();
        bid_destroy(region->table);
    }
    if (region->memory != MAP_FAILED)
        munmap(region->memory, region->bytes);
    if (region->fd >= 0)
        close(region->fd);
    if (region->wake >= 0)
        close(region->wake);
    free(region);
    errno = error;
}

int bid_bpf_region_fd(const struct bid_bpf_region *region)
{
    return region->fd;
}

struct bid_table *bid_bpf_region_table(const struct bid_bpf_region *region)
{
    return region->table;
}
