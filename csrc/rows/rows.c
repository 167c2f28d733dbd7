/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "rows.h"

#define CHUNK 256           /* rows that are handed on at a time */
#define AHEAD 64            /* rows that are looked up before they are updated */
#define IN_CACHE (1u << 14) /* entries of a table that mostly is in a cache */

typedef int update_function(struct bid_table *, uint64_t, uint32_t, const void *, size_t);

/* Lookups of many keys overlap their cache misses, and leave in the cache what the updates of these keys read. */
static void look_ahead(const struct bid_table *table, const uint64_t *keys, size_t i, size_t n)
{
    uint8_t ids[AHEAD * BID_ID_MAX], lengths[AHEAD];
    if (i % AHEAD == 0 && bid_count(table) > IN_CACHE)
        bid_lookup_many(table, keys + i, n - i < AHEAD ? n - i : AHEAD, ids, BID_ID_MAX, lengths);
}

static int update_row(struct bid_table *table, const struct bid_rows *rows, size_t i, update_function *update)
{
    size_t length = rows->lengths ? rows->lengths[i] : rows->id_size;
    if (rows->lengths && length == BID_LENGTH_NO_BUILD_ID)
        length = 0;
    if (length > rows->id_size)
        return BID_E_ID_LENGTH;
    uint32_t generation = rows->generations ? rows->generations[i] : 0;
    return update(table, rows->keys[i], generation, rows->ids + i * rows->id_size, length);
}

static int update_rows(struct bid_table *table, const struct bid_rows *rows, size_t begin, size_t end,
                       update_function *update, struct bid_rows_done *done)
{
    for (size_t i = begin; i < end; i++) {
        look_ahead(table, rows->keys, i, end);
        int status = update_row(table, rows, i, update);
        done->row = i;
        if (status < 0)
            return status;
        done->changed += status == BID_OK;
    }
    return BID_OK;
}

static int has_generations(const struct bid_rows *rows, size_t begin, size_t n)
{
    for (size_t i = begin; rows->generations && i < begin + n; i++)
        if (rows->generations[i])
            return 1;
    return 0;
}

/* A chunk at a time by bid_insert_many(), whose cache misses overlap; it gives generation 0. Then one by one, where it
 * has left something to do: for rows whose keys were there, if they are to be replaced, and to learn which row failed:
 * those before it have their entries now. */
static int insert_rows(struct bid_table *table, const struct bid_rows *rows, size_t n, update_function *update,
                       int replaces, struct bid_rows_done *done)
{
    *done = (struct bid_rows_done){0};
    int status = BID_OK;
    for (size_t begin = 0; begin < n && status >= 0; begin += CHUNK) {
        size_t some = n - begin < CHUNK ? n - begin : CHUNK, inserted = 0;
        if (!has_generations(rows, begin, some)) {
            status = bid_insert_many(table, rows->keys + begin, some, rows->ids + begin * rows->id_size, rows->id_size,
                                     rows->lengths ? rows->lengths + begin : NULL, &inserted);
            done->changed += inserted;
            if (status >= 0 && (!replaces || inserted == some))
                continue;
        }
        status = update_rows(table, rows, begin, begin + some, update, done);
    }
    return status;
}

int bid_rows_insert(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done)
{
    return insert_rows(table, rows, n, bid_insert, 0, done);
}

int bid_rows_upsert(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done)
{
    return insert_rows(table, rows, n, bid_upsert, 1, done);
}

int bid_rows_remove(struct bid_table *table, const struct bid_rows *rows, size_t n, struct bid_rows_done *done)
{
    *done = (struct bid_rows_done){0};
    for (size_t i = 0; i < n; i++) {
        look_ahead(table, rows->keys, i, n);
        int status = rows->generations ? bid_remove_generation(table, rows->keys[i], rows->generations[i])
                                       : bid_remove(table, rows->keys[i]);
        done->row = i;
        if (status < 0)
            return status;
        done->changed += status == BID_OK;
    }
    return BID_OK;
}

/* The part of a row that holds an ID, padded with zeros. */
static void write_id(const struct bid_rows *rows, size_t i, const struct bid_build_id *id)
{
    uint8_t *row = rows->ids + i * rows->id_size;
    size_t length = id ? id->length : 0;
    __builtin_memset(row, 0, rows->id_size);
    if (length)
        __builtin_memcpy(row, id->bytes, length);
}

void bid_rows_lookup(const struct bid_table *table, const struct bid_rows *rows, size_t n)
{
    struct bid_build_id id;
    for (size_t i = 0; i < n; i++) {
        look_ahead(table, rows->keys, i, n);
        int status = bid_lookup_generation(table, rows->keys[i], rows->generations[i], &id);
        write_id(rows, i, status == BID_OK ? &id : NULL);
        rows->lengths[i] = status == BID_OK            ? id.length
                           : status == BID_NO_BUILD_ID ? BID_LENGTH_NO_BUILD_ID
                           : status == BID_STALE       ? BID_LENGTH_STALE
                                                       : 0;
    }
}

struct reading {
    const struct bid_rows *rows;
    size_t capacity;
    size_t seen;
};

static int read_row(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct reading *reading = argument;
    size_t i = reading->seen++;
    if (i >= reading->capacity)
        return 0;
    reading->rows->keys[i] = key;
    reading->rows->generations[i] = id->generation;
    reading->rows->lengths[i] = status == BID_NO_BUILD_ID ? BID_LENGTH_NO_BUILD_ID : id->length;
    write_id(reading->rows, i, status == BID_NO_BUILD_ID ? NULL : id);
    return 0;
}

size_t bid_rows_read(const struct bid_table *table, const struct bid_rows *rows, size_t capacity)
{
    struct reading reading = {rows, capacity, 0};
    bid_iterate(table, read_row, &reading);
    return reading.seen;
}
