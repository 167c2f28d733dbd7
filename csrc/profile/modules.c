/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The names of what is counted: paths are not for handlers, so they are written down when a mapping is first seen. */
#define _GNU_SOURCE
#include "profile.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif

#define HEADER 4096

struct notes {
    struct bid_profile *profile;
    int all;
};

static struct bid_profile_module *reserve(struct bid_profile *profile, uint64_t bytes)
{
    uint64_t used = bid_add(&profile->module_used, bytes, BID_RELAXED);
    if (used + bytes <= profile->module_bytes)
        return (struct bid_profile_module *)((char *)&profile->table[profile->entries] + used);
    bid_add(&profile->modules_lost, 1, BID_RELAXED);
    return NULL;
}

static int write_down(void *argument, const struct bid_mapping *mapping)
{
    const struct notes *notes = argument;
    if (!notes->all && !mapping->fresh)
        return 0;
    size_t path = strlen(mapping->path) + 1, bytes = (sizeof(struct bid_profile_module) + path + 7) / 8 * 8;
    struct bid_profile_module *module = reserve(notes->profile, bytes);
    if (!module)
        return 0;
    module->bytes = (uint32_t)bytes;
    module->process = (uint32_t)getpid();
    module->start = mapping->start;
    module->end = mapping->end;
    module->offset = mapping->offset;
    module->header = mapping->header;
    module->id_offset = mapping->id_offset;
    memcpy(module->path, mapping->path, path);
    if (mapping->status != BID_OK)
        return 0;
    module->id_length = mapping->id->length;
    memcpy(module->id, mapping->id->bytes, mapping->id->length);
    return 0;
}

void bid_profile_modules(struct bid_profile *profile, const struct bid_maps *maps, int all)
{
    bid_maps_iterate(maps, write_down, &(struct notes){profile, all}, NULL);
}

/* A page of a file that was just written, such as a program that was just compiled, is not dropped before it is on disk. */
static void write_back(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    sync_file_range(fd, 0, HEADER, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    close(fd);
}

/* The kernel does so if no other process has the page mapped. */
static int evict(void *argument, const struct bid_mapping *mapping)
{
    if (!mapping->header || !mapping->inode)
        return argument != NULL;
    write_back(mapping->path);
    madvise((void *)(uintptr_t)mapping->header, HEADER, MADV_PAGEOUT);
    return argument != NULL;
}

void bid_profile_evict(const struct bid_maps *maps)
{
    bid_maps_iterate(maps, evict, NULL, NULL);
}
