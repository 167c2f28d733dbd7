/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stand-ins for the objects that a profiler holds in its hand when it asks (a struct file, an inode, a mapped file),
 * found by a key that names them. A lookup gets the address of its object, so finding it is neither timed nor counted.
 *
 * Progress: blocking (a lock of its own).
 */
#ifndef RIVAL_OBJECTS_H
#define RIVAL_OBJECTS_H

#include "lock.h"
#include "rivals.h"

#define OBJECTS_MAX (1ull << 22)

struct rival_objects {
    void *index; /* a table of the design rwlock: key -> address */
    atomic_flag lock;
    uint64_t count;
    size_t object_bytes;
    char *memory;    /* OBJECTS_MAX objects, of which the first `count` are in use; zeroed, touched as it is used */
    uint64_t *names; /* of the objects: their keys */
};

/* Returns 0, or -1 without memory. huge: on huge pages, as the kernel maps its own objects. */
int rival_objects_init(struct rival_objects *objects, size_t object_bytes, int huge);
void rival_objects_end(struct rival_objects *objects);

/* The address of the object that a key names, made if it is not there; its first byte is written then, so that it is in
 * memory. 0: no memory. */
uint64_t rival_object(struct rival_objects *objects, uint64_t key);

static inline void *rival_object_at(const struct rival_objects *objects, uint64_t i)
{
    return objects->memory + i * objects->object_bytes;
}

#endif
