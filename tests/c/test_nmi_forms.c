/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bid_insert_nmi() and bid_remove_nmi(): they work where no memory is needed, and say so where it is. */
#define _GNU_SOURCE
#include "check.h"

#include "table.h" /* to use memory up, and to see who helps */

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------- no call for memory in them -- */

static int in_nmi;

/* In the place of libc's. */
int madvise(void *address, size_t bytes, int advice)
{
    CHECK(!in_nmi);
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

int munmap(void *address, size_t bytes)
{
    CHECK(!in_nmi);
    return (int)syscall(SYS_munmap, address, bytes);
}

static int nmi_insert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length)
{
    in_nmi = 1;
    int status = bid_insert_nmi(table, key, generation, id, length);
    in_nmi = 0;
    return status;
}

static int nmi_remove(struct bid_table *table, uint64_t key)
{
    in_nmi = 1;
    int status = bid_remove_nmi(table, key);
    in_nmi = 0;
    return status;
}

/* ---------------------------------------------------------------------------------------------------- forms -- */

static int insert_nmi(struct bid_table *table, uint64_t key)
{
    uint8_t id[20];
    make_id(key, 1, id, sizeof id);
    return nmi_insert(table, key, 1, id, sizeof id);
}

/* After reserve(n) exactly n inserts need no memory, at the least. */
static void reserved_room_is_enough(uint64_t entries)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(bid_reserve(table, entries), BID_OK);
    uint64_t resizes = statistics(table).resizes;
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(insert_nmi(table, inode_key(i)), BID_OK);
    CHECK(bid_count(table) == entries);
    CHECK(statistics(table).resizes == resizes);
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
        CHECK_STATUS(insert_nmi(table, inode_key(i)), BID_EXISTS);
    }
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(nmi_remove(table, inode_key(i)), BID_OK);
    CHECK_STATUS(nmi_remove(table, inode_key(0)), BID_ABSENT);
    bid_destroy(table);
}

/* Also in an array that is half full, where the last to come find few places; and if some of the keys had an entry. */
static void room_for_the_rest(uint32_t id_size, uint64_t removed)
{
    uint64_t entries = 11400, half = 6000;
    struct bid_table *table = make_table((struct bid_options){.id_size = id_size});
    CHECK_STATUS(bid_reserve(table, removed ? entries : half), BID_OK);
    for (uint64_t i = 0; i < half; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, id_size), BID_OK);
    for (uint64_t i = 0; i < removed; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    CHECK_STATUS(bid_reserve(table, entries - removed), BID_OK);
    uint8_t id[BID_ID_MAX] = {1};
    for (uint64_t i = 0; i < removed; i++)
        CHECK_STATUS(nmi_insert(table, inode_key(i), 1, id, id_size), BID_OK);
    for (uint64_t i = half; i < entries - removed; i++)
        CHECK_STATUS(nmi_insert(table, inode_key(i), 1, id, id_size), BID_OK);
    bid_destroy(table);
}

/* Without room the table stays as it was, and a thread-context update makes room. */
static void would_allocate_loses_nothing(void)
{
    struct bid_table *table = make_table((struct bid_options){0});
    uint64_t inserted = 0;
    int status;
    while ((status = insert_nmi(table, inode_key(inserted))) == BID_OK)
        inserted++;
    CHECK_STATUS(status, BID_E_WOULD_ALLOCATE);
    CHECK(bid_count(table) == inserted);
    struct bid_build_id id;
    CHECK_STATUS(bid_lookup(table, inode_key(inserted), &id), BID_ABSENT);
    for (uint64_t i = 0; i < 4000; i++)
        CHECK(insert(table, inode_key(i), 1, 20) == (i < inserted ? BID_EXISTS : BID_OK));
    CHECK(bid_count(table) == 4000);
    bid_destroy(table);
}

/* During a resize a remove may have to copy first, and does. */
static void remove_during_a_resize(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t entries = 0, removed = 0;
    for (int turn = 0; turn < 200; turn++) {
        while (!bid_resizing(table))
            CHECK_STATUS(insert(table, inode_key(entries++), 1, 20), BID_OK);
        for (uint64_t i = 0; i < entries && bid_resizing(table); i += 1 + entries / 5) {
            struct bid_build_id id;
            int before = bid_lookup(table, inode_key(i), &id), status = nmi_remove(table, inode_key(i));
            CHECK(status == before);
            CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_ABSENT);
            removed += status == BID_OK;
        }
        if (entries > 20000)
            break;
        CHECK_STATUS(bid_reserve(table, 0), BID_OK); /* finishes the resize */
    }
    CHECK(removed > 0);
    bid_destroy(table);
}

/* As if others had taken every place, and every record that is present. */
static void use_up(struct bid_array *array)
{
    for (uint64_t bucket = 0; bucket < array->buckets; bucket++)
        for (unsigned slot = 0; slot < BID_BUCKET_SLOTS; slot++)
            bid_or(&bid_bucket(array->base, bucket)[slot], BID_TAKEN, BID_RELAXED);
    bid_store(&array->record_ready, bid_load(&array->record_next, BID_RELAXED), BID_RELAXED);
}

/* A remove that finds no record for a copy takes one of those set aside for it; without these it is refused, and the
 * entry stays. It populates nothing, and does nothing of the resize that is under way. */
static void remove_without_records(uint32_t id_size)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = id_size});
    uint64_t entries = 0, removed = 0;
    while (!bid_resizing(table))
        CHECK_STATUS(insert(table, inode_key(entries++), 1, id_size), BID_OK);
    struct bid_array *head = bid_head(table), *future = bid_future(table, head);
    uint64_t ready = bid_load(&future->record_ready, BID_RELAXED), cursor = bid_load(&head->cursor, BID_RELAXED);
    use_up(future);
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        int status = nmi_remove(table, inode_key(i));
        CHECK_STATUS(status, i < BID_REMOVES_ASIDE ? BID_OK : BID_E_WOULD_ALLOCATE);
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), status == BID_OK ? BID_ABSENT : BID_OK);
        CHECK(status == BID_OK || id_is(&id, inode_key(i), 1, id_size));
        removed += status == BID_OK;
    }
    CHECK(removed == BID_REMOVES_ASIDE && bid_count(table) == entries - removed);
    CHECK(bid_load(&future->record_ready, BID_RELAXED) == bid_load(&future->record_next, BID_RELAXED));
    CHECK(bid_load(&head->cursor, BID_RELAXED) == cursor);
    bid_store(&future->record_ready, ready, BID_RELAXED);
    for (uint64_t i = removed; i < entries; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    CHECK(bid_count(table) == 0 && !bid_audit(table, 0));
    bid_destroy(table);
}

/* A remove from a handler begins no resize, however few entries it leaves; the next update of a thread does. */
static void removes_begin_nothing(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < 20000; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(!bid_resizing(table));
    uint64_t resizes = bid_resizes(table);
    for (uint64_t i = 0; i < 19999; i++)
        CHECK_STATUS(nmi_remove(table, inode_key(i)), BID_OK);
    CHECK(!bid_resizing(table) && bid_resizes(table) == resizes);
    CHECK_STATUS(bid_remove(table, inode_key(19999)), BID_OK);
    CHECK(bid_resizing(table));
    bid_destroy(table);
}

/* bid_reserve() makes room for IDs of the longest kind. */
static void reserved_room_is_enough_for_long_ids(uint64_t entries)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = BID_ID_MAX});
    uint8_t id[BID_ID_MAX];
    CHECK_STATUS(bid_reserve(table, entries), BID_OK);
    for (uint64_t i = 0; i < entries; i++) {
        make_id(inode_key(i), 1, id, sizeof id);
        CHECK_STATUS(nmi_insert(table, inode_key(i), 1, id, sizeof id), BID_OK);
    }
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id found;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &found), BID_OK);
        CHECK(id_is(&found, inode_key(i), 1, sizeof id));
    }
    bid_destroy(table);
}

/* Handlers that insert while a resize stands half done, and do not help with it, cannot fill the future array. */
static void inserts_during_resizes(uint64_t max_entries)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20, .max_entries = max_entries});
    uint64_t entries = 0, from_handlers = 0;
    uint8_t id[20] = {1};
    for (int status = BID_OK; entries < 200000; entries++) {
        status = BID_E_WOULD_ALLOCATE;
        if (bid_resizing(table))
            status = nmi_insert(table, inode_key(entries), 1, id, sizeof id);
        from_handlers += status == BID_OK;
        if (status == BID_E_WOULD_ALLOCATE)
            status = bid_insert(table, inode_key(entries), 1, id, sizeof id);
        if (max_entries && entries == max_entries) {
            CHECK_STATUS(status, BID_E_MAX_ENTRIES);
            break;
        }
        CHECK_STATUS(status, BID_OK);
    }
    CHECK(from_handlers > 10);
    CHECK(entries == (max_entries ? max_entries : 200000));
    for (uint64_t i = 0; i < entries; i++)
        CHECK_STATUS(bid_remove(table, inode_key(i)), BID_OK);
    CHECK_STATUS(bid_shrink(table), BID_OK);
    CHECK(!bid_resizing(table) && bid_count(table) == 0);
    bid_destroy(table);
}

int main(void)
{
    inserts_during_resizes(0);
    inserts_during_resizes(3000);
    inserts_during_resizes(60000);
    reserved_room_is_enough(1);
    reserved_room_is_enough(1000);
    reserved_room_is_enough(100000);
    for (uint64_t entries = 1; entries <= 100000; entries *= 10)
        reserved_room_is_enough_for_long_ids(entries);
    for (uint32_t id_size = 20; id_size <= 64; id_size += 22) {
        room_for_the_rest(id_size, 0);
        room_for_the_rest(id_size, 4000);
    }
    removes_begin_nothing();
    remove_without_records(20);
    remove_without_records(64);
    would_allocate_loses_nothing();
    remove_during_a_resize();
    return 0;
}
