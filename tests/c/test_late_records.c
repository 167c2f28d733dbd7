/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Other threads take the last records elsewhere between the look at how many are left and the addition that decides:
 * the copy that comes too late is not made, and nothing is lost. The table's source of records is compiled into this
 * program, with a call of ours before that addition.
 */
#include "bid_atomic.h"

static int others_come(bid_word *word);
#undef bid_add
#define bid_add(pointer, value, order) (others_come(pointer), atomic_fetch_add_explicit((pointer), (value), (order)))
#include "record.c"

#include "check.h"

/* How many the others leave. */
enum left {
    NONE,        /* every record of the array is taken */
    NOT_PRESENT, /* those that are left are not present, and there is no memory */
};

static struct bid_table *table;
static enum left left;
static int waiting, no_memory;
static uint64_t before; /* where the next record was */

static int others_come(bid_word *word)
{
    struct bid_array *future = waiting ? bid_future(table, bid_head(table)) : NULL;
    if (!future || word != &future->record_next)
        return 0;
    waiting = 0;
    no_memory = 1;
    before = bid_load(word, BID_RELAXED);
    bid_store(word, left == NONE ? future->record_capacity : bid_load(&future->record_ready, BID_RELAXED), BID_RELAXED);
    return 0;
}

static int populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context;
    return no_memory ? BID_E_NO_MEMORY : bid_platform_allocator.populate(NULL, address, bytes, lock);
}

static void all_there(uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
}

/* Returns how many entries there are when a resize has begun. */
static uint64_t begin(void)
{
    uint64_t entries = 0;
    struct bid_allocator allocator = bid_platform_allocator;
    allocator.populate = populate;
    table = make_table((struct bid_options){.id_size = 20, .allocator = &allocator});
    for (; !bid_resizing(table); entries++)
        CHECK_STATUS(insert(table, inode_key(entries), 1, 20), BID_OK);
    waiting = 1;
    return entries;
}

/* The records that the others took are there again, so that the resize can be finished. */
static void end(uint64_t first, uint64_t entries)
{
    CHECK(!waiting && bid_resizing(table));
    all_there(first, entries);
    bid_store(&bid_future(table, bid_head(table))->record_next, before, BID_RELAXED);
    no_memory = 0;
    CHECK(bid_shrink(table) >= 0);
    all_there(first, entries);
    CHECK(bid_count(table) == entries - first);
    bid_destroy(table);
}

static void a_helper_comes_too_late(void)
{
    uint64_t entries = begin();
    while (waiting) {
        CHECK_STATUS(bid_remove(table, inode_key(entries)), BID_ABSENT);
        CHECK(bid_resizing(table));
    }
    end(0, entries);
}

static void a_remove_in_nmi_context_comes_too_late(void)
{
    uint64_t entries = begin(), removed = 0;
    bid_store(&bid_future(table, bid_head(table))->aside, BID_REMOVES_ASIDE, BID_RELAXED);
    while (waiting) {
        int status = bid_remove_nmi(table, inode_key(removed));
        removed += status == BID_OK;
        CHECK_STATUS(status, waiting ? BID_OK : left == NONE ? BID_E_COLLISIONS : BID_E_WOULD_ALLOCATE);
    }
    end(removed, entries);
}

int main(void)
{
    for (left = NONE; left <= NOT_PRESENT; left++) {
        a_helper_comes_too_late();
        a_remove_in_nmi_context_comes_too_late();
    }
    return 0;
}
