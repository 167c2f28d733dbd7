/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Messages of protobuf: each field is a tag (number << 3 | wire type), then a varint, or a length and bytes
 * (protobuf.dev/programming-guides/encoding).
 */
#ifndef BID_WIRE_H
#define BID_WIRE_H

#include "pprof.h"

#define VARINT_MAX 10 /* bytes */

enum wire_kind { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire {
    const uint8_t *at, *end;
};

struct wire_field {
    uint64_t number;
    enum wire_kind kind;
    uint64_t value;      /* of a varint */
    struct wire content; /* of anything else */
};

/* A part of some bytes. An empty one has no address: there may be no memory behind it. */
static inline struct wire wire_of(const struct bid_bytes *bytes, size_t begin, size_t size)
{
    return size ? (struct wire){bytes->bytes + begin, bytes->bytes + begin + size} : (struct wire){0};
}

static inline int wire_number(struct wire *wire, uint64_t *value)
{
    uint64_t found = 0;
    for (unsigned shift = 0; shift < 7 * VARINT_MAX; shift += 7) {
        if (wire->at == wire->end)
            return BID_PPROF_E_CUT;
        uint8_t byte = *wire->at++;
        found |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = found;
            return BID_PPROF_OK;
        }
    }
    return BID_PPROF_E_NUMBER;
}

/* The next field. BID_PPROF_E_CUT: the bytes end in it. */
static inline int wire_field(struct wire *wire, struct wire_field *field)
{
    uint64_t tag, size = 8;
    int error = wire_number(wire, &tag);
    if (error)
        return error;
    field->number = tag >> 3;
    field->kind = (enum wire_kind)(tag & 7);
    if (!field->number)
        return BID_PPROF_E_FIELD; /* such as of zeros, which a crash leaves at the end of a file */
    switch (field->kind) {
    case WIRE_VARINT:
        return wire_number(wire, &field->value);
    case WIRE_BYTES:
        error = wire_number(wire, &size);
        break;
    case WIRE_FIXED32:
        size = 4;
        break;
    case WIRE_FIXED64:
        break;
    default:
        return BID_PPROF_E_WIRE;
    }
    if (error)
        return error;
    if (size > BID_PPROF_FIELD_MAX)
        return BID_PPROF_E_LARGE;
    if (size > (size_t)(wire->end - wire->at))
        return BID_PPROF_E_CUT;
    field->content = (struct wire){wire->at, wire->at + size};
    wire->at += size;
    return BID_PPROF_OK;
}

/* Writes a number. Returns where the next byte goes. */
static inline uint8_t *wire_put(uint8_t *at, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* ---- rows.c: what the other files of this folder share. Each returns enum bid_pprof_status. */
int bid_bytes_reserve(struct bid_bytes *bytes, size_t more);
int bid_bytes_append(struct bid_bytes *bytes, const void *from, size_t size);
int bid_numbers_append(struct bid_numbers *numbers, const uint64_t *items, size_t count);

void bid_sums_clear(struct bid_sums *sums);
size_t bid_sums_bytes(const struct bid_sums *sums);
/* The number of the row with this key, which is a new one if there was none. */
int bid_sums_find(struct bid_sums *sums, const void *key, size_t size, uint32_t labels, size_t *found);

/* The same in three steps, each for many rows before the next one, so that their cache misses overlap. row: its size
 * and labels; the first step adds the hash. */
void bid_sums_prepare(const struct bid_sums *sums, const void *key, struct bid_row *row);
void bid_sums_fetch(const struct bid_sums *sums, const struct bid_row *row);
int bid_sums_find_row(struct bid_sums *sums, const void *key, const struct bid_row *row, size_t *found);
void bid_sums_count(struct bid_sums *sums, size_t row, const uint64_t *values);

/* ---- read.c */
/* The number of a location from 1; 0: there is none with this id. */
uint32_t bid_pprof_number(const struct bid_pprof *profile, uint64_t id);

#endif
