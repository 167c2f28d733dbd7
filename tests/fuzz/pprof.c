/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A libFuzzer target over csrc/pprof: `make fuzz SECONDS=60`. Of any bytes:
 *
 *   - the reader ends, and what it answers is one of enum bid_pprof_status;
 *   - the same comes out whether the message is there as a whole or comes in pieces;
 *   - the stacks of all rows are of locations that there are, and labels of sets that there are; their frames are as
 *     many as are counted;
 *   - samples that are added up, written and read again are the same.
 *
 * The address sanitizer sees reads outside of the bytes given: each piece is a block of its own.
 */
#include "pprof/wire.h"

#include "target.h"

#include <stdbool.h>
#include <string.h>

#define SEED 7

/* Of a file that is no profile: destroys it, and returns NULL. */
static struct bid_pprof *given_up(struct bid_pprof *profile, int error, int *status)
{
    CHECK(error <= BID_PPROF_E_CUT && error >= BID_PPROF_E_ID && error != BID_PPROF_E_MEMORY);
    bid_pprof_destroy(profile);
    *status = error;
    return NULL;
}

/* Reads it in pieces, each with what the one before left. */
static struct bid_pprof *read_pieces(const uint8_t *data, size_t size, size_t piece, int *status)
{
    struct bid_pprof *profile = bid_pprof_create(SEED);
    CHECK(profile);
    for (size_t begin = 0, end = piece; begin < size; end += piece) {
        end = end < size ? end : size;
        uint8_t *block = malloc(end - begin);
        CHECK(block);
        memcpy(block, data + begin, end - begin);
        int64_t used = bid_pprof_read(profile, block, end - begin);
        free(block);
        CHECK(used <= (int64_t)(end - begin));
        if (used < 0)
            return given_up(profile, (int)used, status);
        begin += (size_t)used;
        if (end == size && begin < size)
            return given_up(profile, BID_PPROF_E_CUT, status);
    }
    int error = bid_pprof_finish(profile);
    if (error)
        return given_up(profile, error, status);
    *status = BID_PPROF_OK;
    return profile;
}

static bool bytes_equal(const struct bid_bytes *one, const struct bid_bytes *other)
{
    return one->size == other->size && (!one->size || memcmp(one->bytes, other->bytes, one->size) == 0);
}

static bool numbers_equal(const struct bid_numbers *one, const struct bid_numbers *other)
{
    return one->count == other->count &&
           (!one->count || memcmp(one->items, other->items, one->count * sizeof *one->items) == 0);
}

static bool sums_equal(const struct bid_sums *one, const struct bid_sums *other)
{
    if (one->count != other->count || one->width != other->width || !bytes_equal(&one->keys, &other->keys))
        return false;
    size_t values = one->count * one->width * sizeof *one->values;
    for (size_t i = 0; i < one->count; i++)
        if (one->rows[i].labels != other->rows[i].labels || one->rows[i].size != other->rows[i].size)
            return false;
    return !values || memcmp(one->values, other->values, values) == 0;
}

static void check_equal(const struct bid_pprof *one, const struct bid_pprof *other)
{
    CHECK(sums_equal(&one->samples, &other->samples));
    CHECK(sums_equal(&one->labels, &other->labels));
    CHECK(bytes_equal(&one->text, &other->text) && numbers_equal(&one->strings, &other->strings));
    CHECK(numbers_equal(&one->locations, &other->locations) && numbers_equal(&one->lines, &other->lines));
    CHECK(numbers_equal(&one->functions, &other->functions) && numbers_equal(&one->ids, &other->ids));
    CHECK(bytes_equal(&one->others, &other->others));
    CHECK(one->frames == other->frames && bid_pprof_work(one) == bid_pprof_work(other));
}

static uint64_t lines_of(const struct bid_pprof *profile, uint32_t number)
{
    uint64_t lines = profile->locations.items[(number - 1) * BID_PPROF_LOCATION + 3];
    lines -= number > 1 ? profile->locations.items[(number - 2) * BID_PPROF_LOCATION + 3] : 0;
    return lines ? lines : 1;
}

static void check_stacks(const struct bid_sums *sums, const struct bid_pprof *profile, size_t locations, size_t sets)
{
    uint32_t *numbers = malloc(sums->keys.size * sizeof *numbers + 1);
    uint32_t *ends = malloc(sums->count * sizeof *ends + 1), *labels = malloc(sums->count * sizeof *labels + 1);
    CHECK(numbers && ends && labels);
    bid_sums_stacks(sums, profile, 0, sums->count, numbers, ends, labels);
    size_t count = sums->count ? ends[sums->count - 1] : 0;
    CHECK(count <= sums->keys.size);
    uint64_t frames = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(numbers[i] >= 1 && numbers[i] <= locations);
        frames += profile ? lines_of(profile, numbers[i]) : 0;
    }
    CHECK(!profile || frames == profile->frames);
    for (size_t row = 0; row < sums->count; row++)
        CHECK(labels[row] < sets && (row == 0 || ends[row - 1] <= ends[row]));
    free(numbers);
    free(ends);
    free(labels);
}

/* Adds the profile up, with its own numbers. */
static struct bid_sums *added_up(const struct bid_pprof *profile, size_t locations)
{
    struct bid_sums *sums = bid_sums_create(profile->samples.width, SEED);
    uint32_t *numbers = malloc(locations * sizeof *numbers + 1);
    uint32_t *labels = malloc(profile->labels.count * sizeof *labels + 1);
    CHECK(sums && numbers && labels);
    for (uint32_t i = 0; i < locations; i++)
        numbers[i] = i + 1;
    for (uint32_t i = 0; i < profile->labels.count; i++)
        labels[i] = i;
    CHECK(bid_sums_add(sums, profile, numbers, labels) == BID_PPROF_OK);
    free(numbers);
    free(labels);
    return sums;
}

static void write_all(const struct bid_sums *sums, const struct bid_pprof *profile, size_t locations,
                      struct bid_bytes *out)
{
    uint64_t *ends = malloc(profile->labels.count * sizeof *ends + 1);
    CHECK(ends);
    for (size_t set = 0; set < profile->labels.count; set++)
        ends[set] = profile->labels.rows[set].key + profile->labels.rows[set].size;
    CHECK(bid_sums_write(sums, 0, sums->count, profile->labels.keys.bytes, ends, out) == BID_PPROF_OK);
    free(ends);
    for (uint64_t id = 1; id <= locations; id++) {
        uint8_t field[2 * VARINT_MAX + 3], content[VARINT_MAX + 1], *end = wire_put(wire_put(content, 1 << 3), id);
        size_t length = (size_t)(end - content);
        uint8_t *at = wire_put(wire_put(field, 4 << 3 | WIRE_BYTES), length);
        CHECK(bid_bytes_append(out, field, (size_t)(at - field)) == BID_PPROF_OK);
        CHECK(bid_bytes_append(out, content, length) == BID_PPROF_OK);
    }
}

static void check_written(const struct bid_pprof *profile)
{
    size_t locations = profile->locations.count / BID_PPROF_LOCATION;
    struct bid_sums *sums = added_up(profile, locations);
    check_stacks(&profile->samples, profile, locations, profile->labels.count);
    check_stacks(sums, NULL, locations, profile->labels.count);
    struct bid_bytes out = {0};
    int status;
    write_all(sums, profile, locations, &out);
    struct bid_pprof *again = read_pieces(out.bytes, out.size, out.size + 1, &status);
    CHECK(again && again->labels.count == profile->labels.count);
    CHECK(sums_equal(&again->samples, sums));
    bid_pprof_destroy(again);
    bid_bytes_free(&out);
    bid_sums_destroy(sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 100};
    int status, other_status;
    struct bid_pprof *profile = read_pieces(data, size, size + 1, &status);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct bid_pprof *other = read_pieces(data, size, pieces[i], &other_status);
        CHECK(status == other_status);
        if (other) {
            check_equal(profile, other);
            bid_pprof_destroy(other);
        }
    }
    if (profile) {
        check_written(profile);
        bid_pprof_destroy(profile);
    }
    return 0;
}
