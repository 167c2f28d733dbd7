/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The two designs of the torture: the table, and the simplest table on the side, fixed buckets with a spinlock each. */
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "torture.h"

static int ours_lookup(u64 key, struct bid_build_id *id)
{
    return bid_lookup(table, key, id);
}

static int ours_insert(u64 key, u32 generation, const void *id)
{
    return bid_insert(table, key, generation, id, ID_SIZE);
}

static int ours_insert_nmi(u64 key, u32 generation, const void *id)
{
    return bid_insert_nmi(table, key, generation, id, ID_SIZE);
}

static int ours_replace(u64 key, u32 generation, const void *id)
{
    return bid_replace(table, key, generation, id, ID_SIZE);
}

static int ours_upsert(u64 key, u32 generation, const void *id)
{
    return bid_upsert(table, key, generation, id, ID_SIZE);
}

static int ours_remove(u64 key)
{
    return bid_remove(table, key);
}

static int ours_remove_nmi(u64 key)
{
    return bid_remove_nmi(table, key);
}

const struct design ours = {"ours",       ours_lookup, ours_insert, ours_insert_nmi,
                            ours_replace, ours_upsert, ours_remove, ours_remove_nmi};

#define BUCKETS_LOG2 10
#define ENTRIES 48

static struct bucket {
    raw_spinlock_t lock;
    struct entry {
        u64 key;
        u32 generation, used;
        u8 id[ID_SIZE];
    } entries[ENTRIES];
} *buckets;

int rival_make(void)
{
    int i;
    buckets = vzalloc(sizeof(*buckets) << BUCKETS_LOG2);
    for (i = 0; buckets && i < 1 << BUCKETS_LOG2; i++)
        raw_spin_lock_init(&buckets[i].lock);
    return buckets ? 0 : -ENOMEM;
}

void rival_free(void)
{
    vfree(buckets);
}

static struct bucket *bucket_of(u64 key)
{
    return &buckets[key * 0x9e3779b97f4a7c15ull >> (64 - BUCKETS_LOG2)];
}

/* The key's entry, else one that is free; NULL: full. */
static struct entry *entry_of(struct bucket *bucket, u64 key)
{
    struct entry *empty = NULL;
    int i;
    for (i = 0; i < ENTRIES; i++) {
        struct entry *entry = &bucket->entries[i];
        if (entry->used && entry->key == key)
            return entry;
        if (!entry->used)
            empty = entry;
    }
    return empty;
}

static int spinlock_lookup(u64 key, struct bid_build_id *id)
{
    struct bucket *bucket = bucket_of(key);
    struct entry *entry;
    int status = BID_ABSENT;
    raw_spin_lock(&bucket->lock);
    entry = entry_of(bucket, key);
    if (entry && entry->used) {
        *id = (struct bid_build_id){.generation = entry->generation, .length = ID_SIZE};
        memcpy(id->bytes, entry->id, ID_SIZE);
        status = BID_OK;
    }
    raw_spin_unlock(&bucket->lock);
    return status;
}

/* What an update does where there is an entry, and where there is none. */
static int spinlock_update(u64 key, u32 generation, const void *id, int replaces, int inserts)
{
    struct bucket *bucket = bucket_of(key);
    struct entry *entry;
    int status = BID_E_COLLISIONS;
    raw_spin_lock(&bucket->lock);
    entry = entry_of(bucket, key);
    if (entry) {
        status = entry->used ? BID_EXISTS : inserts ? BID_OK : BID_ABSENT;
        if (entry->used ? replaces : inserts) {
            entry->key = key;
            entry->generation = generation;
            memcpy(entry->id, id, ID_SIZE);
            entry->used = 1;
        }
    }
    raw_spin_unlock(&bucket->lock);
    return status;
}

static int spinlock_insert(u64 key, u32 generation, const void *id)
{
    return spinlock_update(key, generation, id, 0, 1);
}

static int spinlock_replace(u64 key, u32 generation, const void *id)
{
    int status = spinlock_update(key, generation, id, 1, 0);
    return status == BID_EXISTS ? BID_OK : status;
}

static int spinlock_upsert(u64 key, u32 generation, const void *id)
{
    return spinlock_update(key, generation, id, 1, 1);
}

static int spinlock_remove(u64 key)
{
    struct bucket *bucket = bucket_of(key);
    struct entry *entry;
    int found;
    raw_spin_lock(&bucket->lock);
    entry = entry_of(bucket, key);
    found = entry && entry->used;
    if (found)
        entry->used = 0;
    raw_spin_unlock(&bucket->lock);
    return found ? BID_OK : BID_ABSENT;
}

const struct design spinlock = {"spinlock",       spinlock_lookup, spinlock_insert, spinlock_insert,
                                spinlock_replace, spinlock_upsert, spinlock_remove, spinlock_remove};
