/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Stand-ins for the objects that a caller holds in its hand: see objects.h. */
#define _GNU_SOURCE
#include "objects.h"

#include <string.h>
#include <sys/mman.h>

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int rival_objects_init(struct rival_objects *objects, size_t object_bytes, int huge)
{
    *objects = (struct rival_objects){.lock = ATOMIC_FLAG_INIT, .object_bytes = object_bytes};
    objects->index = bid_design_rwlock.create(0, 0);
    objects->memory = map(OBJECTS_MAX * object_bytes);
    objects->names = map(OBJECTS_MAX * sizeof *objects->names);
    if (!objects->index || !objects->memory || !objects->names) {
        rival_objects_end(objects);
        return -1;
    }
    if (huge)
        madvise(objects->memory, OBJECTS_MAX * object_bytes, MADV_HUGEPAGE); /* a hint */
    return 0;
}

void rival_objects_end(struct rival_objects *objects)
{
    if (objects->memory)
        munmap(objects->memory, OBJECTS_MAX * objects->object_bytes);
    if (objects->names)
        munmap(objects->names, OBJECTS_MAX * sizeof *objects->names);
    bid_design_rwlock.destroy(objects->index);
}

static uint64_t make(struct rival_objects *objects, uint64_t key)
{
    if (objects->count == OBJECTS_MAX)
        return 0;
    char *object = rival_object_at(objects, objects->count);
    uint64_t address = (uint64_t)(uintptr_t)object;
    if (bid_design_rwlock.insert(objects->index, key, 0, &address, sizeof address) != BID_OK)
        return 0;
    *(volatile char *)object = 0;
    objects->names[objects->count++] = key;
    return address;
}

uint64_t rival_object(struct rival_objects *objects, uint64_t key)
{
    struct bid_build_id found;
    uint64_t address;
    rival_lock(&objects->lock);
    if (bid_design_rwlock.lookup(objects->index, key, &found, NULL) == BID_OK)
        memcpy(&address, found.bytes, sizeof address);
    else
        address = make(objects, key);
    rival_unlock(&objects->lock);
    return address;
}
