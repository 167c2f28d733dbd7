/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Distinct keys, each with sums: an array of rows in the order in which they came, and an open hash table of their
 * numbers, at most half full.
 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 0x7fffffffu

int bid_bytes_reserve(struct bid_bytes *bytes, size_t more)
{
    if (more <= bytes->room - bytes->size)
        return BID_PPROF_OK;
    size_t room = bytes->room ? bytes->room : 256;
    while (room - bytes->size < more)
        room *= 2;
    uint8_t *larger = realloc(bytes->bytes, room);
    if (!larger)
        return BID_PPROF_E_MEMORY;
    bytes->bytes = larger;
    bytes->room = room;
    return BID_PPROF_OK;
}

int bid_bytes_append(struct bid_bytes *bytes, const void *from, size_t size)
{
    int error = bid_bytes_reserve(bytes, size);
    if (!error && size) {
        memcpy(bytes->bytes + bytes->size, from, size);
        bytes->size += size;
    }
    return error;
}

void bid_bytes_free(struct bid_bytes *bytes)
{
    free(bytes->bytes);
    *bytes = (struct bid_bytes){0};
}

static int reserve_numbers(struct bid_numbers *numbers, size_t more)
{
    if (more <= numbers->room - numbers->count)
        return BID_PPROF_OK;
    size_t room = numbers->room ? numbers->room : 64;
    while (room - numbers->count < more)
        room *= 2;
    uint64_t *larger = realloc(numbers->items, room * sizeof *larger);
    if (!larger)
        return BID_PPROF_E_MEMORY;
    numbers->items = larger;
    numbers->room = room;
    return BID_PPROF_OK;
}

int bid_numbers_append(struct bid_numbers *numbers, const uint64_t *items, size_t count)
{
    int error = reserve_numbers(numbers, count);
    if (!error && count) {
        memcpy(numbers->items + numbers->count, items, count * sizeof *items);
        numbers->count += count;
    }
    return error;
}

/* ------------------------------------------------------------------------------------------------- the table -- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

static uint64_t hash_of(uint64_t seed, const uint8_t *key, size_t size, uint32_t labels)
{
    uint64_t hash = mix(seed, size ^ (uint64_t)labels << 32), word;
    for (; size >= sizeof word; key += sizeof word, size -= sizeof word) {
        memcpy(&word, key, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    if (size)
        memcpy(&word, key, size);
    return mix(mix(hash, word), seed);
}

static size_t free_slot(const struct bid_sums *sums, uint64_t hash)
{
    size_t mask = sums->slot_count - 1, at = hash & mask;
    while (sums->slots[at])
        at = (at + 1) & mask;
    return at;
}

static int grow_slots(struct bid_sums *sums)
{
    size_t count = sums->slot_count ? sums->slot_count * 2 : 64;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return BID_PPROF_E_MEMORY;
    free(sums->slots);
    sums->slots = slots;
    sums->slot_count = count;
    for (size_t row = 0; row < sums->count; row++)
        slots[free_slot(sums, sums->rows[row].hash)] = (uint32_t)row + 1;
    return BID_PPROF_OK;
}

static int grow_rows(struct bid_sums *sums)
{
    size_t room = sums->room ? sums->room * 2 : 32;
    struct bid_row *rows = realloc(sums->rows, room * sizeof *rows);
    if (!rows)
        return BID_PPROF_E_MEMORY;
    sums->rows = rows;
    uint64_t *values = realloc(sums->values, room * (sums->width + 1) * sizeof *values); /* not of 0 bytes */
    if (!values)
        return BID_PPROF_E_MEMORY;
    sums->values = values;
    sums->room = room;
    return BID_PPROF_OK;
}

static int add_row(struct bid_sums *sums, const struct bid_row *row, const void *key)
{
    int error = sums->count == sums->room ? grow_rows(sums) : BID_PPROF_OK;
    if (!error && sums->count >= ROWS_MAX)
        error = BID_PPROF_E_MEMORY;
    if (!error && 2 * sums->count >= sums->slot_count)
        error = grow_slots(sums);
    if (error)
        return error;
    size_t at = sums->keys.size;
    error = bid_bytes_append(&sums->keys, key, row->size);
    if (error)
        return error;
    sums->rows[sums->count] = *row;
    sums->rows[sums->count].key = at;
    memset(sums->values + sums->count * sums->width, 0, sums->width * sizeof *sums->values);
    sums->slots[free_slot(sums, row->hash)] = (uint32_t)++sums->count;
    return BID_PPROF_OK;
}

void bid_sums_prepare(const struct bid_sums *sums, const void *key, struct bid_row *row)
{
    row->hash = hash_of(sums->seed, key, row->size, row->labels);
    if (sums->slot_count)
        __builtin_prefetch(&sums->slots[row->hash & (sums->slot_count - 1)]);
}

void bid_sums_fetch(const struct bid_sums *sums, const struct bid_row *row)
{
    uint32_t slot = sums->slot_count ? sums->slots[row->hash & (sums->slot_count - 1)] : 0;
    if (slot)
        __builtin_prefetch(&sums->rows[slot - 1]);
}

int bid_sums_find_row(struct bid_sums *sums, const void *key, const struct bid_row *row, size_t *found)
{
    size_t mask = sums->slot_count - 1, at = row->hash & mask;
    for (; sums->slot_count && sums->slots[at]; at = (at + 1) & mask) {
        const struct bid_row *known = &sums->rows[sums->slots[at] - 1];
        if (known->hash == row->hash && known->size == row->size && known->labels == row->labels &&
            (!row->size || memcmp(sums->keys.bytes + known->key, key, row->size) == 0)) {
            *found = sums->slots[at] - 1;
            return BID_PPROF_OK;
        }
    }
    *found = sums->count;
    return add_row(sums, row, key);
}

int bid_sums_find(struct bid_sums *sums, const void *key, size_t size, uint32_t labels, size_t *found)
{
    struct bid_row row = {.size = (uint32_t)size, .labels = labels};
    row.hash = hash_of(sums->seed, key, size, labels);
    return bid_sums_find_row(sums, key, &row, found);
}

void bid_sums_count(struct bid_sums *sums, size_t row, const uint64_t *values)
{
    for (size_t i = 0; i < sums->width; i++)
        sums->values[row * sums->width + i] += values[i];
}

size_t bid_sums_bytes(const struct bid_sums *sums)
{
    return sums->room * (sizeof *sums->rows + sums->width * sizeof *sums->values) + sums->keys.room +
           sums->slot_count * sizeof *sums->slots;
}

void bid_sums_clear(struct bid_sums *sums)
{
    free(sums->rows);
    free(sums->values);
    free(sums->slots);
    bid_bytes_free(&sums->keys);
}
