/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A message of profile.proto into columns. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 2, LOCATION = 4, FUNCTION = 5, STRING = 6, LAST = 15 }; /* fields of Profile */
enum { SAMPLE_LOCATIONS = 1, SAMPLE_VALUES = 2, SAMPLE_LABELS = 3 };    /* of Sample */
enum { LOCATION_LINES = 4, LOCATION_FOLDED = 5, SCALARS = 6 }; /* of Location; the most numbers of any message */
enum { LINES_END = LOCATION_LINES - 1 };                       /* among a location's numbers */

struct bid_pprof *bid_pprof_create(uint64_t seed)
{
    struct bid_pprof *profile = calloc(1, sizeof *profile);
    if (profile)
        profile->samples.seed = profile->labels.seed = seed;
    return profile;
}

void bid_pprof_destroy(struct bid_pprof *profile)
{
    bid_sums_clear(&profile->samples);
    bid_sums_clear(&profile->labels);
    free(profile->strings.items);
    free(profile->locations.items);
    free(profile->lines.items);
    free(profile->functions.items);
    free(profile->ids.items);
    free(profile->sums.items);
    bid_bytes_free(&profile->text);
    bid_bytes_free(&profile->others);
    bid_bytes_free(&profile->stack);
    bid_bytes_free(&profile->marks);
    free(profile);
}

size_t bid_pprof_bytes(const struct bid_pprof *profile)
{
    const struct bid_numbers *numbers[] = {&profile->strings,   &profile->locations, &profile->lines,
                                           &profile->functions, &profile->ids,       &profile->sums};
    const struct bid_bytes *bytes[] = {&profile->text, &profile->others, &profile->stack, &profile->marks};
    size_t sum = bid_sums_bytes(&profile->samples) + bid_sums_bytes(&profile->labels);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sum += numbers[i]->room * sizeof *numbers[i]->items;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        sum += bytes[i]->room;
    return sum;
}

uint64_t bid_pprof_work(const struct bid_pprof *profile)
{
    uint64_t items = profile->samples.count + profile->strings.count + profile->lines.count / BID_PPROF_LINE +
                     profile->locations.count / BID_PPROF_LOCATION + profile->functions.count / BID_PPROF_FUNCTION;
    uint64_t bytes = profile->labels.keys.size + profile->others.size;
    return bytes + profile->label_count * BID_PPROF_MARK + items * BID_PPROF_ITEM;
}

/* ---------------------------------------------------------------------------------------------- a sample -- */

static int append_number(struct bid_bytes *bytes, uint64_t value)
{
    int error = bid_bytes_reserve(bytes, VARINT_MAX);
    if (!error)
        bytes->size = (size_t)(wire_put(bytes->bytes + bytes->size, value) - bytes->bytes);
    return error;
}

/* Locations, as they are encoded: bid_pprof_finish() decodes them. */
static int append_stack(struct bid_bytes *stack, const struct wire_field *field)
{
    if (field->kind == WIRE_VARINT)
        return append_number(stack, field->value);
    if (field->kind != WIRE_BYTES)
        return BID_PPROF_E_WIRE;
    const struct wire *content = &field->content;
    if (content->at < content->end && content->end[-1] >= 0x80)
        return BID_PPROF_E_CUT;
    return bid_bytes_append(stack, content->at, (size_t)(content->end - content->at));
}

static int append_values(struct bid_numbers *values, const struct wire_field *field)
{
    if (field->kind == WIRE_VARINT)
        return bid_numbers_append(values, &field->value, 1);
    if (field->kind != WIRE_BYTES)
        return BID_PPROF_E_WIRE;
    int error = BID_PPROF_OK;
    uint64_t value;
    for (struct wire content = field->content; !error && content.at < content.end;) {
        error = wire_number(&content, &value);
        if (!error)
            error = bid_numbers_append(values, &value, 1);
    }
    return error;
}

static int append_label(struct bid_bytes *marks, const struct wire_field *field)
{
    if (field->kind != WIRE_BYTES)
        return BID_PPROF_E_MESSAGE;
    size_t size = (size_t)(field->content.end - field->content.at);
    int error = append_number(marks, SAMPLE_LABELS << 3 | WIRE_BYTES);
    if (!error)
        error = append_number(marks, size);
    return error ? error : bid_bytes_append(marks, field->content.at, size);
}

static int add_sample(struct bid_pprof *profile)
{
    struct bid_sums *samples = &profile->samples;
    size_t row, marks, sets = profile->labels.count;
    if (!samples->count)
        samples->width = profile->sums.count;
    if (samples->width != profile->sums.count || samples->width > BID_PPROF_VALUES_MAX)
        return BID_PPROF_E_VALUES;
    int error = bid_sums_find(&profile->labels, profile->marks.bytes, profile->marks.size, 0, &marks);
    if (!error && profile->labels.count > sets)
        profile->label_count += profile->mark_count;
    if (!error)
        error = bid_sums_find(samples, profile->stack.bytes, profile->stack.size, (uint32_t)marks, &row);
    if (!error)
        bid_sums_count(samples, row, profile->sums.items);
    return error;
}

static int read_sample(struct bid_pprof *profile, struct wire content)
{
    struct wire_field field;
    int error = BID_PPROF_OK;
    profile->stack.size = profile->marks.size = profile->sums.count = profile->mark_count = 0;
    while (!error && content.at < content.end) {
        error = wire_field(&content, &field);
        if (error)
            break;
        if (field.number == SAMPLE_LOCATIONS)
            error = append_stack(&profile->stack, &field);
        else if (field.number == SAMPLE_VALUES)
            error = append_values(&profile->sums, &field);
        else if (field.number == SAMPLE_LABELS)
            error = append_label(&profile->marks, &field), profile->mark_count++;
    }
    return error ? error : add_sample(profile);
}

/* ------------------------------------------------------------------------------------ the other messages -- */

/* The numbers of a message, each at its field's number; 0 is what a missing one means. */
static int read_scalars(struct wire content, uint64_t scalars[SCALARS])
{
    struct wire_field field;
    memset(scalars, 0, SCALARS * sizeof *scalars);
    while (content.at < content.end) {
        int error = wire_field(&content, &field);
        if (error)
            return error;
        if (field.kind == WIRE_VARINT && field.number < SCALARS)
            scalars[field.number] = field.value;
    }
    return BID_PPROF_OK;
}

static int read_lines(struct bid_pprof *profile, struct wire content)
{
    struct wire_field field;
    uint64_t line[SCALARS];
    int error = BID_PPROF_OK;
    while (!error && content.at < content.end) {
        error = wire_field(&content, &field);
        if (error || field.number != LOCATION_LINES)
            continue;
        error = field.kind == WIRE_BYTES ? read_scalars(field.content, line) : BID_PPROF_E_MESSAGE;
        if (!error)
            error = bid_numbers_append(&profile->lines, line + 1, BID_PPROF_LINE);
    }
    return error;
}

static int read_location(struct bid_pprof *profile, struct wire content)
{
    uint64_t location[SCALARS];
    int error = read_scalars(content, location);
    if (!error)
        error = read_lines(profile, content);
    location[LOCATION_LINES] = profile->lines.count / BID_PPROF_LINE;
    return error ? error : bid_numbers_append(&profile->locations, location + 1, BID_PPROF_LOCATION);
}

static int read_string(struct bid_pprof *profile, struct wire content)
{
    int error = bid_bytes_append(&profile->text, content.at, (size_t)(content.end - content.at));
    uint64_t end = profile->text.size;
    return error ? error : bid_numbers_append(&profile->strings, &end, 1);
}

/* A field that is in no table: its bytes, if the format has it. Such are types, mappings and comments: a few. */
static int read_other(struct bid_pprof *profile, const struct wire_field *field, const uint8_t *begin,
                      const uint8_t *end)
{
    size_t size = (size_t)(end - begin);
    if (field->number > LAST)
        return BID_PPROF_OK;
    return size > BID_PPROF_FIELD_MAX - profile->others.size ? BID_PPROF_E_LARGE
                                                             : bid_bytes_append(&profile->others, begin, size);
}

/* A field of the profile, whose bytes are those from begin to end. */
static int read_field(struct bid_pprof *profile, const struct wire_field *field, const uint8_t *begin,
                      const uint8_t *end)
{
    uint64_t function[SCALARS];
    int error;
    switch (field->kind == WIRE_BYTES ? field->number : 0) {
    case SAMPLE:
        return read_sample(profile, field->content);
    case LOCATION:
        return read_location(profile, field->content);
    case STRING:
        return read_string(profile, field->content);
    case FUNCTION:
        error = read_scalars(field->content, function);
        return error ? error : bid_numbers_append(&profile->functions, function + 1, BID_PPROF_FUNCTION);
    default:
        return read_other(profile, field, begin, end);
    }
}

int64_t bid_pprof_read(struct bid_pprof *profile, const void *data, size_t size)
{
    struct wire wire = {data, (const uint8_t *)data + size};
    struct wire_field field;
    while (wire.at < wire.end) {
        const uint8_t *begin = wire.at;
        int error = wire_field(&wire, &field);
        if (error == BID_PPROF_E_CUT)
            return begin - (const uint8_t *)data;
        if (!error)
            error = read_field(profile, &field, begin, wire.at);
        if (error)
            return error;
    }
    return (int64_t)size;
}

/* ---------------------------------------------------------------------------------------- ids of locations -- */

static int compare(const void *one, const void *other)
{
    const uint64_t *a = one, *b = other;
    return a[0] != b[0] ? (a[0] < b[0] ? -1 : 1) : (a[1] > b[1]) - (a[1] < b[1]);
}

/* A table of ids, unless they are 1, 2, 3 ... as in most files. */
static int number_ids(struct bid_pprof *profile)
{
    size_t count = profile->locations.count / BID_PPROF_LOCATION, in_order = 0;
    const uint64_t *ids = profile->locations.items;
    while (in_order < count && ids[in_order * BID_PPROF_LOCATION] == in_order + 1)
        in_order++;
    for (size_t i = 0; in_order < count && i < count; i++) {
        int error = bid_numbers_append(&profile->ids, (uint64_t[]){ids[i * BID_PPROF_LOCATION], i + 1}, 2);
        if (error)
            return error;
    }
    if (!profile->ids.count)
        return BID_PPROF_OK;
    qsort(profile->ids.items, count, 2 * sizeof *ids, compare);
    const uint64_t *sorted = profile->ids.items;
    for (size_t i = 1; i < count; i++)
        if (sorted[2 * i] == sorted[2 * i - 2])
            return BID_PPROF_E_ID;
    return sorted[0] ? BID_PPROF_OK : BID_PPROF_E_ID;
}

uint32_t bid_pprof_number(const struct bid_pprof *profile, uint64_t id)
{
    size_t count = profile->locations.count / BID_PPROF_LOCATION;
    const uint64_t *first = profile->ids.items;
    if (!profile->ids.count)
        return id <= count ? (uint32_t)id : 0;
    while (count > 1) {
        size_t half = count / 2;
        first = first[2 * half] <= id ? first + 2 * half : first;
        count -= half;
    }
    return first[0] == id ? (uint32_t)first[1] : 0;
}

/* Frames of the location with this number. */
static uint64_t frames_at(const struct bid_pprof *profile, uint32_t number)
{
    const uint64_t *end =
        profile->locations.items + (size_t)number * BID_PPROF_LOCATION - BID_PPROF_LOCATION + LINES_END;
    uint64_t lines = *end - (number > 1 ? *(end - BID_PPROF_LOCATION) : 0);
    return lines ? lines : 1;
}

int bid_pprof_finish(struct bid_pprof *profile)
{
    const struct bid_bytes *keys = &profile->samples.keys;
    uint64_t id = 0;
    int error = number_ids(profile);
    for (struct wire wire = wire_of(keys, 0, keys->size); !error && wire.at < wire.end;) {
        error = wire_number(&wire, &id);
        uint32_t number = error ? 0 : bid_pprof_number(profile, id);
        if (!error && !number)
            error = BID_PPROF_E_LOCATION;
        profile->frames += number ? frames_at(profile, number) : 0;
    }
    return error;
}
