/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed buckets with a lock and a chain each: what the three designs with a fixed number of buckets have in common.
 * Updaters hold the bucket's lock. A link is written with release, so readers may follow the chain without the lock
 * (fixed.c), as long as an entry's memory outlives them. An entry does not change once it is linked: replace links
 * another one in its place.
 */
#ifndef RIVAL_CHAIN_H
#define RIVAL_CHAIN_H

#include "collisions/chains.h"
#include "lock.h"
#include "record.h"

#include <stdlib.h>

struct rival_entry {
    _Atomic(struct rival_entry *) next;
    uint64_t key;
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[]; /* at least BID_ID_NARROW */
};

struct rival_bucket {
    atomic_flag lock;
    _Atomic(struct rival_entry *) first;
};

typedef _Atomic(struct rival_entry *) rival_link;

struct rival_chains {
    uint64_t buckets;           /* a power of two */
    struct bid_chain_hash hash; /* if it is not `usual` */
    int usual;                  /* the hash is rival_hash() */
    _Atomic(uint64_t) count, busy;
    struct rival_bucket bucket[];
};

/* One bucket for each expected entry, up to a power of two. NULL: no memory. */
static inline void *rival_chains_create(uint64_t expected_entries, uint64_t seed)
{
    uint64_t buckets = 1;
    (void)seed;
    while (buckets < expected_entries && buckets < 1ull << 40)
        buckets *= 2;
    struct rival_chains *chains = calloc(1, sizeof *chains + buckets * sizeof chains->bucket[0]);
    if (chains)
        *chains = (struct rival_chains){.buckets = buckets, .usual = 1};
    return chains;
}

static inline void rival_chains_destroy(void *design)
{
    struct rival_chains *chains = design;
    for (uint64_t i = 0; chains && i < chains->buckets; i++) {
        struct rival_entry *entry = chains->bucket[i].first, *next;
        for (; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(chains);
}

static inline struct rival_bucket *rival_bucket(struct rival_chains *chains, uint64_t key)
{
    if (__builtin_expect(chains->usual, 1))
        return &chains->bucket[rival_hash(key) & (chains->buckets - 1)];
    return &chains->bucket[bid_chain_of(&chains->hash, key, chains->buckets)];
}

static inline struct rival_entry *rival_follow(const rival_link *link)
{
    return atomic_load_explicit(link, memory_order_acquire); /* pairs with rival_set() */
}

static inline void rival_set(rival_link *link, struct rival_entry *entry)
{
    atomic_store_explicit(link, entry, memory_order_release); /* pairs with rival_follow() */
}

/* The link that points to the key's entry, or the last one. */
static inline rival_link *rival_find(struct rival_bucket *bucket, uint64_t key)
{
    rival_link *link = &bucket->first;
    for (struct rival_entry *entry; (entry = rival_follow(link)) && entry->key != key;)
        link = &entry->next;
    return link;
}

/* What a lookup does with the chain, with or without the lock. */
static inline int rival_search(struct rival_bucket *bucket, uint64_t key, struct bid_build_id *id,
                               struct bid_probe_cost *cost)
{
    uint32_t records = 0;
    struct rival_entry *entry = rival_follow(&bucket->first);
    for (; entry; entry = rival_follow(&entry->next)) {
        records++;
        if (entry->key == key)
            break;
    }
    if (cost)
        *cost = (struct bid_probe_cost){.slots = 1, .records = records};
    return entry ? rival_answer(entry->generation, entry->length, entry->bytes, id) : BID_ABSENT;
}

/* BID_OK and an entry in *made, or why there is none. */
static inline int rival_entry_make(struct rival_entry **made, uint64_t key, uint32_t generation, const void *id,
                                   size_t length)
{
    int status = rival_accepts(id, length, BID_ID_MAX);
    if (status != BID_OK)
        return status;
    size_t room = length > BID_ID_NARROW ? length : BID_ID_NARROW;
    struct rival_entry *entry = malloc(sizeof *entry + room);
    if (!entry)
        return BID_E_NO_MEMORY;
    entry->next = NULL;
    entry->key = key;
    entry->generation = generation;
    entry->length = (uint8_t)length;
    memset(entry->bytes, 0, room);
    if (length)
        memcpy(entry->bytes, id, length);
    *made = entry;
    return BID_OK;
}

static inline int rival_chains_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct rival_chains *chains = design;
    struct rival_entry *entry;
    int status = rival_entry_make(&entry, key, generation, id, length);
    if (status != BID_OK)
        return status;
    struct rival_bucket *bucket = rival_bucket(chains, key);
    rival_lock(&bucket->lock);
    rival_link *link = rival_find(bucket, key);
    int exists = rival_follow(link) != NULL;
    if (!exists)
        rival_set(link, entry);
    rival_unlock(&bucket->lock);
    if (exists)
        free(entry);
    else
        atomic_fetch_add_explicit(&chains->count, 1, memory_order_relaxed);
    return exists ? BID_EXISTS : BID_OK;
}

/* Replaces the key's entry. *old is the entry of before, or NULL; readers without a lock may still be in it. */
static inline int rival_chains_exchange(struct rival_chains *chains, uint64_t key, uint32_t generation, const void *id,
                                        size_t length, struct rival_entry **old)
{
    struct rival_entry *entry;
    int status = rival_entry_make(&entry, key, generation, id, length);
    *old = NULL;
    if (status != BID_OK)
        return status;
    struct rival_bucket *bucket = rival_bucket(chains, key);
    rival_lock(&bucket->lock);
    rival_link *link = rival_find(bucket, key);
    *old = rival_follow(link);
    if (*old) {
        entry->next = rival_follow(&(*old)->next);
        rival_set(link, entry);
    }
    rival_unlock(&bucket->lock);
    if (!*old)
        free(entry);
    return *old ? BID_OK : BID_ABSENT;
}

/* For designs whose readers take the lock. */
static inline int rival_chains_replace(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    struct rival_entry *old;
    int status = rival_chains_exchange(design, key, generation, id, length, &old);
    free(old);
    return status;
}

/* Takes the entry of a key out of its chain; NULL: there is none. Readers without a lock may still be in it. */
static inline struct rival_entry *rival_chains_unlink(struct rival_chains *chains, uint64_t key)
{
    struct rival_bucket *bucket = rival_bucket(chains, key);
    rival_lock(&bucket->lock);
    rival_link *link = rival_find(bucket, key);
    struct rival_entry *entry = rival_follow(link);
    if (entry)
        rival_set(link, rival_follow(&entry->next));
    rival_unlock(&bucket->lock);
    if (entry)
        atomic_fetch_sub_explicit(&chains->count, 1, memory_order_relaxed);
    return entry;
}

/* For designs whose readers take the lock. */
static inline int rival_chains_remove(void *design, uint64_t key)
{
    struct rival_entry *entry = rival_chains_unlink(design, key);
    free(entry);
    return entry ? BID_OK : BID_ABSENT;
}

static inline uint64_t rival_chains_count(const void *design)
{
    return atomic_load_explicit(&((const struct rival_chains *)design)->count, memory_order_relaxed);
}

static inline size_t rival_chains_keys(void *design, uint64_t *keys, size_t capacity)
{
    struct rival_chains *chains = design;
    size_t seen = 0;
    for (uint64_t i = 0; i < chains->buckets; i++) {
        struct rival_bucket *bucket = &chains->bucket[i];
        rival_lock(&bucket->lock);
        for (struct rival_entry *entry = rival_follow(&bucket->first); entry; entry = rival_follow(&entry->next))
            if (seen++ < capacity)
                keys[seen - 1] = entry->key;
        rival_unlock(&bucket->lock);
    }
    return seen;
}

#endif
