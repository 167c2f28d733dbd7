/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A snapshot of the mappings takes the place of another, which is freed after a grace period; a thread resolves an
 * address meanwhile. It reads one of the two whole, and finds the entry of its file. Making snapshots and reading files
 * is left out: the model has its own. With PLAIN pins have no fence, and so nothing is freed.
 */
#ifndef PLAIN
#define MODEL_FENCED_PINS 1
#endif
#include "model.h"

/* As in inodes.c. */
static int model_inode_update(enum bid_kind kind, uint64_t key, uint32_t generation, int match, const void *id)
{
    struct bid_operation op = {.kind = kind, .key = key, .generation = generation, .match_generation = match, .id = id};
    op.length = id ? 1 : 0;
    return bid_update(&table, &op);
}
#define bid_insert(table, key, generation, id, length) model_inode_update(BID_INSERT, key, generation, 0, id)
#define bid_remove(table, key) model_inode_update(BID_REMOVE, key, 0, 0, NULL)
#define bid_remove_generation(table, key, generation) model_inode_update(BID_REMOVE, key, generation, 1, NULL)

#include "../inode/inode.c"

#define BID_WIPED_H /* as good as any memory: nothing forks here */
static inline void *bid_wiped_map(size_t bytes)
{
    return malloc(bytes);
}

#include "../resolve/maps.c"
#include "../resolve/resolve.c"

#define ADDRESS 9

struct model_snapshot {
    struct bid_snapshot snapshot;
    struct bid_range range;
    struct bid_mapped_file file;
};

static struct bid_maps maps;

/* Of one range, whose file has this number as its ID. */
static struct bid_snapshot *made(uint8_t number)
{
    struct model_snapshot *all = malloc(sizeof *all);
    all->file.inode.generation = number;
    bid_inode_init(&all->file.inode, 0, 0, number);
    all->range.start = ADDRESS - number;
    all->range.end = ADDRESS + 1;
    all->range.offset = 0;
    all->range.file = &all->file;
    all->snapshot.count = 1;
    all->snapshot.ranges = &all->range;
    all->snapshot.files = &all->file;
    all->snapshot.begun = all->snapshot.ended = number;
    all->snapshot.number = number;
    int status = bid_inode_associate(&table, &all->file.inode, &number, 1);
    assert(status == BID_OK);
    return &all->snapshot;
}

int bid_snapshot_dispose(struct bid_snapshot *snapshot, struct bid_table *of)
{
    assert(bid_inode_evict(of, &snapshot->files->inode) == BID_OK);
    free(snapshot);
    return BID_OK;
}

static void *refresher(void *unused)
{
    model_enter(1);
    assert(publish(&maps, made(2), 1) == PUBLISHED);
#ifndef PLAIN
    reclaim(&maps);
#endif
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    struct bid_stack_build_id record;
    struct bid_build_id id;
    assert(bid_resolve(&maps, ADDRESS, &record, &id) == BID_RESOLVED);
    assert(id.bytes[0] == record.offset && id.generation == record.offset);
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
    maps.pins = table.pins;
    maps.table = &table;
    bid_store(&maps.current, made(1), BID_M_RELEASE);
    model_start(&threads, refresher);
    model_start(&threads, reader);
    model_join(&threads);
    return 0;
}
