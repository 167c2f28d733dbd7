/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Sums over several profiles, and how they are written. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLE_TAG = 2 << 3 | WIRE_BYTES, STACK_TAG = 1 << 3 | WIRE_BYTES, VALUES_TAG = 2 << 3 | WIRE_BYTES };
#define BATCH 32u   /* rows */
#define TAGS_MAX 36 /* bytes of three tags and lengths */

struct bid_sums *bid_sums_create(size_t width, uint64_t seed)
{
    struct bid_sums *sums = calloc(1, sizeof *sums);
    if (sums) {
        sums->width = width;
        sums->seed = seed;
    }
    return sums;
}

void bid_sums_destroy(struct bid_sums *sums)
{
    bid_sums_clear(sums);
    free(sums);
}

/* Appends a stack of the profile, with the numbers that its locations have in the sums. */
static int translate(struct bid_bytes *to, const struct bid_pprof *profile, const struct bid_row *row,
                     const uint32_t *locations)
{
    struct wire wire = wire_of(&profile->samples.keys, row->key, row->size);
    uint64_t id = 0;
    int error = bid_bytes_reserve(to, (size_t)row->size * 5); /* of 32 bits each */
    if (error || !row->size)
        return error;
    uint8_t *at = to->bytes + to->size;
    while (wire.at < wire.end) {
        wire_number(&wire, &id);
        at = wire_put(at, locations[bid_pprof_number(profile, id) - 1]);
    }
    to->size = (size_t)(at - to->bytes);
    return BID_PPROF_OK;
}

/* A few rows of a profile. stacks: room that is used again. */
struct batch {
    struct bid_bytes stacks;
    struct bid_row rows[BATCH]; /* key: where it begins in stacks */
};

static int add_batch(struct bid_sums *sums, const struct bid_pprof *profile, size_t begin, size_t count,
                     const uint32_t *locations, const uint32_t *labels, struct batch *batch)
{
    const struct bid_sums *samples = &profile->samples;
    int error = bid_bytes_reserve(&batch->stacks, 1); /* empty stacks, too, are somewhere */
    batch->stacks.size = 0;
    for (size_t i = 0; !error && i < count; i++) {
        const struct bid_row *from = &samples->rows[begin + i];
        batch->rows[i] = (struct bid_row){.key = batch->stacks.size, .labels = labels[from->labels]};
        error = translate(&batch->stacks, profile, from, locations);
        batch->rows[i].size = (uint32_t)(batch->stacks.size - batch->rows[i].key);
    }
    for (size_t i = 0; !error && i < count; i++)
        bid_sums_prepare(sums, batch->stacks.bytes + batch->rows[i].key, &batch->rows[i]);
    for (size_t i = 0; !error && i < count; i++)
        bid_sums_fetch(sums, &batch->rows[i]);
    for (size_t i = 0, found; !error && i < count; i++) {
        error = bid_sums_find_row(sums, batch->stacks.bytes + batch->rows[i].key, &batch->rows[i], &found);
        if (!error)
            bid_sums_count(sums, found, samples->values + (begin + i) * samples->width);
    }
    return error;
}

int bid_sums_add(struct bid_sums *sums, const struct bid_pprof *profile, const uint32_t *locations,
                 const uint32_t *labels)
{
    struct batch batch = {.stacks = {0}};
    size_t count = profile->samples.count;
    int error = BID_PPROF_OK;
    for (size_t begin = 0; !error && begin < count; begin += BATCH) {
        size_t some = count - begin < BATCH ? count - begin : BATCH;
        error = add_batch(sums, profile, begin, some, locations, labels, &batch);
    }
    bid_bytes_free(&batch.stacks);
    return error;
}

static uint8_t *put_bytes(uint8_t *at, const void *from, size_t size)
{
    if (size)
        memcpy(at, from, size);
    return at + size;
}

/* Field and length of the sample come before its content, whose length is not known before that is made. */
static int write_row(const struct bid_sums *sums, size_t i, const uint8_t *labels, size_t labels_size,
                     struct bid_bytes *values, struct bid_bytes *out)
{
    const struct bid_row *row = &sums->rows[i];
    values->size = 0;
    int error = bid_bytes_reserve(values, sums->width * VARINT_MAX + TAGS_MAX);
    if (!error)
        error = bid_bytes_reserve(out, row->size + sums->width * VARINT_MAX + labels_size + TAGS_MAX);
    if (error)
        return error;
    uint8_t *end = values->bytes, head[TAGS_MAX], *at = out->bytes + out->size;
    for (size_t v = 0; v < sums->width; v++)
        end = wire_put(end, sums->values[i * sums->width + v]);
    size_t values_size = (size_t)(end - values->bytes);
    uint8_t *stack_head = wire_put(wire_put(head, STACK_TAG), row->size);
    uint8_t *values_head = wire_put(wire_put(stack_head, VALUES_TAG), values_size);
    at = wire_put(wire_put(at, SAMPLE_TAG), (size_t)(values_head - head) + row->size + values_size + labels_size);
    at = put_bytes(at, head, (size_t)(stack_head - head));
    at = put_bytes(at, wire_of(&sums->keys, row->key, row->size).at, row->size);
    at = put_bytes(at, stack_head, (size_t)(values_head - stack_head));
    at = put_bytes(at, values->bytes, values_size);
    at = put_bytes(at, labels, labels_size);
    out->size = (size_t)(at - out->bytes);
    return BID_PPROF_OK;
}

int bid_sums_write(const struct bid_sums *sums, size_t begin, size_t end, const uint8_t *labels,
                   const uint64_t *label_ends, struct bid_bytes *out)
{
    struct bid_bytes values = {0};
    int error = BID_PPROF_OK;
    for (size_t i = begin; !error && i < end; i++) {
        uint32_t set = sums->rows[i].labels;
        uint64_t from = set ? label_ends[set - 1] : 0, labels_size = label_ends[set] - from;
        error = write_row(sums, i, labels_size ? labels + from : NULL, labels_size, &values, out);
    }
    bid_bytes_free(&values);
    return error;
}

void bid_sums_stacks(const struct bid_sums *sums, const struct bid_pprof *profile, size_t begin, size_t end,
                     uint32_t *numbers, uint32_t *ends, uint32_t *labels)
{
    uint32_t count = 0;
    uint64_t id = 0;
    for (size_t row = begin; row < end; row++) {
        const struct bid_row *its = &sums->rows[row];
        for (struct wire wire = wire_of(&sums->keys, its->key, its->size); wire.at < wire.end;) {
            wire_number(&wire, &id);
            numbers[count++] = profile ? bid_pprof_number(profile, id) : (uint32_t)id;
        }
        ends[row - begin] = count;
        labels[row - begin] = its->labels;
    }
}
