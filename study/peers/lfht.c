/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * liburcu's cds_lfht as a design: flavour memb, whose read-side lock is a compiler barrier where the kernel has
 * membarrier(), small functions inlined, automatic resizing with accounting, nodes from malloc(), removed nodes freed
 * by call_rcu(). Its worker threads get the other processors, so that they do not cost the thread that is timed.
 * Compiled with -ftls-model=initial-exec where the process has begun with the library: TLS is then reached without a
 * call, as in a program that is linked with it.
 */
#if __has_include(<urcu/rculfhash.h>)

#define _GNU_SOURCE
#define _LGPL_SOURCE                /* its read-side functions inlined, as it offers to code under such a licence */
#define URCU_INLINE_SMALL_FUNCTIONS /* the others; later versions have this name alone for both */
#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include "loops.h"
#include "peer.h"
#include "record.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* With a bound the buckets are one mapping, grown in place; without one (0) an array for each power of two, which each
 * lookup finds first. rculfhash.c calls the mapping faster, and this is the largest bound that it is taken for. */
#define MOST_BUCKETS (1ul << 32)

struct node {
    struct cds_lfht_node link;
    uint64_t key;
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[BID_ID_NARROW];
    struct rcu_head rcu;
};

static int match(struct cds_lfht_node *link, const void *key)
{
    return caa_container_of(link, struct node, link)->key == *(const uint64_t *)key;
}

/* The processors of threads that are started from now on: all but the caller's own. */
static void leave_own_processor(void)
{
    cpu_set_t others;
    memset(&others, 0xff, sizeof others);
    CPU_CLR(sched_getcpu(), &others);
    sched_setaffinity(0, sizeof others, &others); /* fails where there is one processor */
}

/* The first thread; and children of fork() get threads of their own for call_rcu(). */
static void begin_once(void)
{
    static int begun;
    if (begun++)
        return;
    urcu_memb_register_thread();
    pthread_atfork(urcu_memb_call_rcu_before_fork, urcu_memb_call_rcu_after_fork_parent,
                   urcu_memb_call_rcu_after_fork_child);
}

static void *lfht_create(uint64_t expected_entries, uint64_t seed)
{
    cpu_set_t own;
    (void)expected_entries, (void)seed;
    begin_once();
    sched_getaffinity(0, sizeof own, &own);
    leave_own_processor();
    struct cds_lfht *table =
        cds_lfht_new_flavor(64, 64, MOST_BUCKETS, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, &urcu_memb_flavor, NULL);
    urcu_memb_get_default_call_rcu_data();
    sched_setaffinity(0, sizeof own, &own);
    return table;
}

static inline struct node *find(void *design, uint64_t key)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(design, rival_hash(key), match, &key, &iter);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&iter);
    return link ? caa_container_of(link, struct node, link) : NULL;
}

static inline int lfht_lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    urcu_memb_read_lock();
    const struct node *node = find(design, key);
    int status = node ? rival_answer(node->generation, node->length, node->bytes, id) : BID_ABSENT;
    urcu_memb_read_unlock();
    if (cost)
        *cost = (struct bid_probe_cost){0, 0};
    return status;
}

static int lfht_insert(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    int status = rival_accepts(id, length, BID_ID_NARROW);
    struct node *node = status == BID_OK ? malloc(sizeof *node) : NULL;
    if (!node)
        return status == BID_OK ? BID_E_NO_MEMORY : status;
    *node = (struct node){.key = key, .generation = generation, .length = (uint8_t)length};
    if (length)
        memcpy(node->bytes, id, length);
    urcu_memb_read_lock();
    int added = cds_lfht_add_unique(design, rival_hash(key), match, &key, &node->link) == &node->link;
    urcu_memb_read_unlock();
    if (!added)
        free(node);
    return added ? BID_OK : BID_EXISTS;
}

static void free_node(struct rcu_head *rcu)
{
    free(caa_container_of(rcu, struct node, rcu));
}

static int lfht_remove(void *design, uint64_t key)
{
    urcu_memb_read_lock();
    struct node *node = find(design, key);
    int removed = node && cds_lfht_del(design, &node->link) == 0;
    if (removed)
        urcu_memb_call_rcu(&node->rcu, free_node);
    urcu_memb_read_unlock();
    return removed ? BID_OK : BID_ABSENT;
}

static uint64_t process_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* Nodes are on huge pages, by malloc(), as ours is by itself; buckets are on small ones, for a resize maps them anew.
 * Pages that are there already are joined, so memory stays as it is. */
static void huge_pages(struct cds_lfht *table, unsigned long size)
{
    char *buckets = (char *)cds_lfht_mm_mmap.bucket_at(table, 0);
    madvise(buckets, size * sizeof(struct cds_lfht_node), MADV_COLLAPSE); /* a hint; of whole huge pages */
}

/* As many buckets as nodes, up to a power of two, which its resizing aims at as well. It may have stopped short of that
 * for good: __cds_lfht_resize_lazy_launch() (liburcu, src/rculfhash.c) queues a resize and then sets resize_initiated;
 * if the worker has done it by then and cleared the flag, the flag stays set with nothing queued, and no resize is
 * launched again. Lookups in a table of a million nodes were seen not to end for minutes beside an idle worker, which
 * this would explain. */
static void right_size(struct cds_lfht *table)
{
    long before, after;
    unsigned long count, size = 64;
    urcu_memb_read_lock();
    cds_lfht_count_nodes(table, &before, &count, &after);
    urcu_memb_read_unlock();
    while (size < count)
        size *= 2;
    cds_lfht_resize(table, size);
    huge_pages(table, size);
}

/* There is no call that waits for a resize in the background: so wait until the process is idle. */
static void lfht_settle(void *design)
{
    urcu_memb_barrier();
    right_size(design);
    for (int idle = 0; idle < 2;) {
        uint64_t before = process_time();
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        idle = process_time() - before < 500 * 1000 ? idle + 1 : 0;
    }
}

static void lfht_destroy(void *design)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *link;
    urcu_memb_read_lock();
    cds_lfht_for_each(design, &iter, link)
    {
        cds_lfht_del(design, link);
        urcu_memb_call_rcu(&caa_container_of(link, struct node, link)->rcu, free_node);
    }
    urcu_memb_read_unlock();
    cds_lfht_destroy(design, NULL);
    urcu_memb_barrier(); /* or the frees would cost who is measured next */
}

static void lfht_thread_begin(void)
{
    urcu_memb_register_thread();
}

static void lfht_thread_end(void)
{
    urcu_memb_unregister_thread();
}

RIVAL_LOOPS(lfht)
RIVAL_INTO_ARRAYS(lfht)

const struct bid_design bid_design_peer = {
    .name = "cds_lfht",
    .summary = "liburcu's lock-free resizable RCU hash table",
    .create = lfht_create,
    .destroy = lfht_destroy,
    .lookup = lfht_lookup,
    .insert = lfht_insert,
    .remove = lfht_remove,
    .hits = lfht_hits,
    .chain = lfht_chain,
    .into_arrays = lfht_into_arrays,
    .settle = lfht_settle,
    .thread_begin = lfht_thread_begin,
    .thread_end = lfht_thread_end,
    .traits = RIVAL_GROWS,
};

#else
typedef int needs_liburcu; /* ISO C wants something here */
#endif
