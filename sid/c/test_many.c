/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bid_lookup_many() and bid_insert_many() as C sees them: what they count, and that they stay within the caller's memory. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

#define KEYS 300 /* more than one pin is held for */

/* Memory that ends where a page without access begins. */
static void *at_the_end(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *memory = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && mprotect(memory + whole, page, PROT_NONE) == 0);
    return memory + whole - bytes;
}

/* Nothing is read or written past the last key, row and length, however narrow the rows are. */
static void within_the_buffers(size_t id_size)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = (uint32_t)id_size});
    uint64_t *keys = at_the_end(KEYS * sizeof *keys);
    uint8_t *ids = at_the_end(KEYS * id_size), *lengths = at_the_end(KEYS), expected[BID_ID_MAX];
    size_t inserted;
    for (uint64_t i = 0; i < KEYS; i++) {
        keys[i] = inode_key(i);
        make_id(keys[i], 1, ids + i * id_size, id_size);
    }
    CHECK_STATUS(bid_insert_many(table, keys, KEYS, ids, id_size, NULL, &inserted), BID_OK);
    CHECK(inserted == KEYS);
    memset(ids, 0, KEYS * id_size);
    CHECK(bid_lookup_many(table, keys, KEYS, ids, id_size, lengths) == KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        make_id(keys[i], 1, expected, id_size);
        CHECK(lengths[i] == id_size && memcmp(ids + i * id_size, expected, id_size) == 0);
    }
    bid_destroy(table);
}

/* What is counted are build IDs: not what is absent, nor what is known to have none. */
static void hits(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t keys[3] = {1, 2, 3};
    uint8_t ids[3][20], lengths[3];
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK_STATUS(insert(table, 2, 1, 0), BID_OK);
    CHECK(bid_lookup_many(table, keys, 3, ids[0], sizeof ids[0], lengths) == 1);
    CHECK(lengths[0] == 20 && lengths[1] == BID_LENGTH_NO_BUILD_ID && lengths[2] == 0);
    bid_destroy(table);
}

/* An ID that the table would take, but that its row has no room for. */
static void longer_than_its_row(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 64});
    uint64_t keys[2] = {1, 2};
    uint8_t rows[2][8] = {{1}, {2}}, lengths[2] = {8, 9};
    size_t inserted;
    CHECK_STATUS(bid_insert_many(table, keys, 2, rows[0], sizeof rows[0], lengths, &inserted), BID_E_ID_LENGTH);
    CHECK(inserted == 1 && bid_count(table) == 1);
    bid_destroy(table);
}

int main(void)
{
    for (size_t id_size = 1; id_size <= BID_ID_MAX; id_size++)
        within_the_buffers(id_size);
    hits();
    longer_than_its_row();
    return 0;
}
