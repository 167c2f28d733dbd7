/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * liburcu's cds_lfht, as a contender: flavour memb, whose read-side lock is a compiler barrier where the kernel has
 * membarrier(), small functions inlined, automatic resizing with accounting, nodes from malloc, removed nodes freed by
 * call_rcu(). Its worker threads get the processor of the partner, so that they do not cost the thread that is timed.
 */
#if defined(HAVE_URCU) && __has_include(<urcu/rculfhash.h>)

#define _GNU_SOURCE
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include "loops.h"

#include <stdlib.h>
#include <time.h>

struct node {
    struct cds_lfht_node link;
    uint64_t key;
    uint8_t id[BENCH_ID_BYTES];
    struct rcu_head rcu;
};

/* Multiply, fold, multiply, fold: cds_lfht takes its buckets from the low bits. */
BENCH_INLINE unsigned long hash(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15ull;
    key ^= key >> 32;
    key *= 0xbb67ae8584caa73bull;
    return key ^ key >> 32;
}

static int match(struct cds_lfht_node *link, const void *key)
{
    return caa_container_of(link, struct node, link)->key == *(const uint64_t *)key;
}

/* Threads that the library starts here inherit the processor. */
static void *create(uint64_t seed)
{
    int cpus[2];
    (void)seed;
    bench_find_cpus(cpus); /* this thread is pinned: where it is */
    bench_pin_to(bench_helper_cpu);
    struct cds_lfht *table =
        cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, &urcu_memb_flavor, NULL);
    urcu_memb_get_default_call_rcu_data();
    bench_pin_to(cpus[0]);
    if (!table)
        bench_die("cds_lfht_new_flavor failed");
    return table;
}

BENCH_INLINE struct node *find(void *table, uint64_t key)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table, hash(key), match, &key, &iter);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&iter);
    return link ? caa_container_of(link, struct node, link) : NULL;
}

static int insert_one(void *table, uint64_t key, uint64_t next)
{
    struct node *node = malloc(sizeof *node);
    if (!node)
        return 0;
    node->key = key;
    bench_id(next, node->id);
    urcu_memb_read_lock();
    struct cds_lfht_node *added = cds_lfht_add_unique(table, hash(key), match, &key, &node->link);
    urcu_memb_read_unlock();
    if (added == &node->link)
        return 1;
    free(node);
    return 0;
}

static size_t insert(void *table, const uint64_t *keys, const uint64_t *next, size_t n)
{
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++)
        inserted += (size_t)insert_one(table, keys[i], next[i]);
    return inserted;
}

static void free_node(struct rcu_head *rcu)
{
    free(caa_container_of(rcu, struct node, rcu));
}

static size_t remove_keys(void *table, const uint64_t *keys, size_t n)
{
    size_t removed = 0;
    for (size_t i = 0; i < n; i++) {
        urcu_memb_read_lock();
        struct node *node = find(table, keys[i]);
        if (node && cds_lfht_del(table, &node->link) == 0) {
            urcu_memb_call_rcu(&node->rcu, free_node);
            removed++;
        }
        urcu_memb_read_unlock();
    }
    return removed;
}

static int lookup(void *table, uint64_t key, uint8_t id[BENCH_ID_BYTES])
{
    urcu_memb_read_lock();
    struct node *node = find(table, key);
    if (node)
        memcpy(id, node->id, BENCH_ID_BYTES);
    urcu_memb_read_unlock();
    return node != NULL;
}

BENCH_INLINE uint64_t lookup_first(void *table, uint64_t key)
{
    uint8_t id[BENCH_ID_BYTES];
    return lookup(table, key, id) ? bench_first(id) : 0;
}

static uint64_t hits(void *table, const uint64_t *keys, size_t n)
{
    return bench_loop_hits(lookup_first, table, keys, n);
}

static uint64_t chain(void *table, uint64_t key, size_t n)
{
    return bench_loop_chain(lookup_first, table, key, n);
}

/* There is no call that waits for a resize in the background: so wait until the process is idle twice in a row. */
static void settle(void *table)
{
    (void)table;
    urcu_memb_barrier();
    for (int idle = 0; idle < 2;) {
        uint64_t before = bench_cpu_time();
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        idle = bench_cpu_time() - before < 1000 * 1000 ? idle + 1 : 0;
    }
}

static void destroy(void *table)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *link;
    urcu_memb_read_lock();
    cds_lfht_for_each(table, &iter, link)
    {
        cds_lfht_del(table, link);
        urcu_memb_call_rcu(&caa_container_of(link, struct node, link)->rcu, free_node);
    }
    urcu_memb_read_unlock();
    if (cds_lfht_destroy(table, NULL) != 0)
        bench_die("cds_lfht_destroy failed");
}

static void thread_begin(void)
{
    urcu_memb_register_thread();
}

static void thread_end(void)
{
    urcu_memb_unregister_thread();
}

static const struct bench_contender contender = {
    .name = BENCH_LFHT,
    .create = create,
    .destroy = destroy,
    .insert = insert,
    .remove = remove_keys,
    .lookup = lookup,
    .hits = hits,
    .chain = chain,
    .settle = settle,
    .thread_begin = thread_begin,
    .thread_end = thread_end,
};

const struct bench_contender *const bench_lfht = &contender;

#else

#include "bench.h"

const struct bench_contender *const bench_lfht = NULL;

#endif
