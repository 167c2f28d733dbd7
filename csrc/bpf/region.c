/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A region of BPF memory and the table in it. bpf(2) is called directly: a region needs no libbpf.
 */
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BID_PAGE 4096u
#define BID_REGION_LEAST (1ull << 20)

extern struct bid_bpf_region *bid_platform_region;

static int bid_bpf(int command, union bpf_attr *attribute)
{
    return (int)syscall(SYS_bpf, command, attribute, sizeof *attribute);
}

/* All that the map's memory needs is in the kernel when this returns. */
static int bid_region_map_create(uint64_t bytes)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_type = BPF_MAP_TYPE_ARRAY;
    attribute.map_flags = BPF_F_MMAPABLE;
    attribute.key_size = sizeof(uint32_t);
    attribute.value_size = BID_BPF_LINE;
    attribute.max_entries = (uint32_t)(bytes / BID_BPF_LINE);
    memcpy(attribute.map_name, "bid_region", sizeof "bid_region");
    return bid_bpf(BPF_MAP_CREATE, &attribute);
}

void bid_bpf_synchronize(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static int bid_region_fill(struct bid_bpf_region *region)
{
    region->fd = bid_region_map_create(region->bytes);
    if (region->fd < 0)
        return errno == ENOMEM ? BID_E_NO_MEMORY : BID_E_UNSUPPORTED;
    region->used = calloc(1, region->bytes / BID_PAGE);
    region->base = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region->fd, 0);
    if (region->base == MAP_FAILED || !region->used)
        return BID_E_NO_MEMORY;
    memset(region->used, 1, BID_BPF_TABLE / BID_PAGE);
    bid_platform_region = region;
    int status = bid_create(&region->table, NULL);
    if (status != BID_OK)
        return status;
    struct bid_bpf_header *header = (struct bid_bpf_header *)region->base;
    *header = (struct bid_bpf_header){
        .version = BID_BPF_VERSION,
        .line = BID_BPF_LINE,
        .base = (uint64_t)(uintptr_t)region->base,
        .bytes = region->bytes,
        .table = (uint64_t)((char *)region->table - region->base),
    };
    __atomic_store_n(&header->magic, BID_BPF_MAGIC, __ATOMIC_RELEASE);
    return header->table == BID_BPF_TABLE ? BID_OK : BID_E_UNSUPPORTED;
}

int bid_bpf_region_create(struct bid_bpf_region **result, uint64_t bytes)
{
    if (!result)
        return BID_E_NULL;
    *result = NULL;
    bytes = bytes ? bytes : BID_BPF_REGION_DEFAULT;
    if (bytes % BID_PAGE || bytes < BID_REGION_LEAST || bytes / BID_BPF_LINE > UINT32_MAX)
        return BID_E_OPTIONS;
    struct bid_bpf_region *region = calloc(1, sizeof *region);
    if (!region)
        return BID_E_NO_MEMORY;
    region->bytes = bytes;
    region->base = MAP_FAILED;
    pthread_mutex_init(&region->lock, NULL);
    int status = bid_region_fill(region);
    if (status == BID_OK)
        *result = region;
    else
        bid_bpf_region_destroy(region);
    return status;
}

void bid_bpf_region_destroy(struct bid_bpf_region *region)
{
    if (!region)
        return;
    int error = errno;
    bid_destroy(region->table);
    if (region->base != MAP_FAILED)
        munmap(region->base, region->bytes);
    if (region->fd >= 0)
        close(region->fd);
    free(region->used);
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
