/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Profiles of pprof: samples are added up whatever pieces they come in; damage and a lack of memory, wherever they
 * strike, are errors. Under AddressSanitizer it shows that damage leads nowhere else (stress sanitize). */
#include "check.h"

static int allocations_left = -1; /* -1: no limit */

static int is_out_of_memory(void)
{
    return allocations_left == 0 || (allocations_left > 0 && --allocations_left == 0);
}

static void *calloc_or_fail(size_t count, size_t size)
{
    return is_out_of_memory() ? NULL : calloc(count, size);
}

static void *realloc_or_fail(void *memory, size_t size)
{
    return is_out_of_memory() ? NULL : realloc(memory, size);
}

static void *malloc_or_fail(size_t size)
{
    return is_out_of_memory() ? NULL : malloc(size);
}

#define malloc malloc_or_fail
#define calloc calloc_or_fail
#define realloc realloc_or_fail
#include "../../csrc/pprof/read.c"
#include "../../csrc/pprof/rows.c"
#include "../../csrc/pprof/sums.c"
#include "../../csrc/pprof/tree.c"

#define LOCATIONS 300u
#define STACKS 200u
#define REPEATS 3u
#define DAMAGES 20000u

static struct bid_bytes message;
static uint64_t state = 1;

static uint64_t next_random(uint64_t below)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % below;
}

static void put(uint64_t field, const uint8_t *content, size_t size)
{
    CHECK(append_number(&message, field << 3 | WIRE_BYTES) == 0 && append_number(&message, size) == 0);
    CHECK(bid_bytes_append(&message, content, size) == 0);
}

/* A label, a stack of one to 40 frames, the values 1 and 10. */
static void put_sample(uint64_t stack)
{
    uint8_t frames[400], content[1000], *end = frames, *at = content;
    for (uint64_t i = 0; i <= stack % 40; i++)
        end = wire_put(end, 1 + (stack * 7 + i * i) % LOCATIONS);
    at = wire_put(wire_put(at, SAMPLE_LOCATIONS << 3 | WIRE_BYTES), (size_t)(end - frames));
    memcpy(at, frames, (size_t)(end - frames));
    at += end - frames;
    at = wire_put(wire_put(wire_put(at, SAMPLE_VALUES << 3 | WIRE_BYTES), 2), 1);
    at = wire_put(at, 10);
    at = wire_put(wire_put(at, SAMPLE_LABELS << 3 | WIRE_BYTES), 2);
    at = wire_put(wire_put(at, 8), stack % 5);
    put(SAMPLE, content, (size_t)(at - content));
}

static void put_location(uint64_t number, uint64_t id)
{
    uint8_t content[100], *at = wire_put(wire_put(content, 8), id);
    at = wire_put(wire_put(wire_put(wire_put(at, 34), 2), 8), number % 100); /* a line of a function */
    put(LOCATION, content, (size_t)(at - content));
}

static void make_message(void)
{
    for (unsigned i = 0; i < STACKS * REPEATS; i++)
        put_sample(i % STACKS);
    for (uint64_t number = 1; number <= LOCATIONS; number++)
        put_location(number, number);
    put(STRING, NULL, 0);
    put(STRING, (const uint8_t *)"text", 4);
}

/* NULL: the error is in *error. */
static struct bid_pprof *read_all(const struct bid_bytes *from, size_t piece, int64_t *error)
{
    struct bid_pprof *profile = bid_pprof_create(7);
    *error = profile ? 0 : BID_PPROF_E_MEMORY;
    for (size_t begin = 0, end = piece; profile && begin < from->size; end += piece) {
        end = end < from->size ? end : from->size;
        *error = bid_pprof_read(profile, from->bytes + begin, end - begin);
        if (*error < 0 || (end == from->size && begin + (size_t)*error < end))
            break; /* damaged or cut off */
        begin += (size_t)*error;
    }
    *error = *error < 0 || !profile ? *error : bid_pprof_finish(profile);
    if (*error && profile)
        bid_pprof_destroy(profile);
    return *error ? NULL : profile;
}

static void check_sums(const struct bid_sums *sums, uint64_t times)
{
    CHECK(sums->count == STACKS && sums->width == 2);
    for (size_t i = 0; i < STACKS; i++)
        CHECK(sums->values[2 * i] == REPEATS * times && sums->values[2 * i + 1] == 10 * REPEATS * times);
}

/* Sums of a profile with itself, written and read again. */
static int add_and_write(const struct bid_pprof *profile, struct bid_bytes *out)
{
    uint32_t numbers[LOCATIONS + 1], labels[5];
    uint64_t ends[5] = {0};
    struct bid_sums *sums = bid_sums_create(profile->samples.width, 9);
    if (!sums)
        return BID_PPROF_E_MEMORY;
    for (uint32_t i = 0; i <= LOCATIONS; i++)
        numbers[i] = i + 1;
    for (uint32_t i = 0; i < 5; i++)
        labels[i] = i;
    int error = bid_sums_add(sums, profile, numbers, labels);
    error = error ? error : bid_sums_add(sums, profile, numbers, labels);
    error = error ? error : bid_sums_write(sums, 0, sums->count, (const uint8_t *)"", ends, out);
    bid_sums_destroy(sums);
    return error;
}

static void check_pieces(void)
{
    int64_t error;
    for (size_t piece = 1; piece < 3 * message.size; piece = piece * 3 + 1) {
        struct bid_pprof *profile = read_all(&message, piece, &error);
        CHECK(profile && profile->strings.count == 2 && profile->lines.count == 2 * LOCATIONS);
        CHECK(profile->labels.count == 5);
        check_sums(&profile->samples, 1);
        bid_pprof_destroy(profile);
    }
}

static void check_written(void)
{
    int64_t error;
    struct bid_bytes out = {0};
    struct bid_pprof *profile = read_all(&message, message.size, &error);
    CHECK(profile && add_and_write(profile, &out) == 0);
    bid_pprof_destroy(profile);
    struct bid_bytes samples = message;
    message = out;
    for (uint64_t number = 1; number <= LOCATIONS; number++)
        put_location(number, number);
    profile = read_all(&message, 1000, &error);
    CHECK(profile);
    check_sums(&profile->samples, 2);
    bid_pprof_destroy(profile);
    bid_bytes_free(&message);
    message = samples;
}

static void check_damage(void)
{
    unsigned whole = 0, failed = 0;
    struct bid_bytes copy = {0}, out = {0};
    CHECK(bid_bytes_append(&copy, message.bytes, message.size) == 0);
    for (unsigned i = 0; i < DAMAGES; i++) {
        int64_t error;
        size_t at[3];
        for (unsigned n = 0; n < 3; n++)
            copy.bytes[at[n] = next_random(copy.size)] = (uint8_t)next_random(256);
        struct bid_pprof *profile = read_all(&copy, 1 + next_random(2 * copy.size), &error);
        whole += profile != NULL;
        failed += error < 0;
        out.size = 0;
        if (profile && profile->labels.count <= 5 && profile->locations.count <= BID_PPROF_LOCATION * (LOCATIONS + 1))
            CHECK(add_and_write(profile, &out) == 0);
        if (profile)
            bid_pprof_destroy(profile);
        for (unsigned n = 0; n < 3; n++)
            copy.bytes[at[n]] = message.bytes[at[n]];
    }
    CHECK(whole > 100 && failed > 100);
    bid_bytes_free(&copy);
    bid_bytes_free(&out);
}

/* Room is for as many as come at a time. */
static void check_room(void)
{
    static const uint64_t many[1000];
    struct bid_numbers numbers = {0};
    CHECK(bid_numbers_append(&numbers, many, 0) == 0 && bid_numbers_append(&numbers, many, 60) == 0);
    CHECK(bid_numbers_append(&numbers, many, 1000) == 0);
    CHECK(numbers.count == 1060 && numbers.room >= numbers.count);
    free(numbers.items);
}

static int64_t status_of(const uint8_t *content, size_t size)
{
    int64_t error;
    struct bid_bytes samples = message;
    message = (struct bid_bytes){0};
    put(SAMPLE, content, size);
    struct bid_pprof *profile = read_all(&message, message.size, &error);
    if (profile)
        bid_pprof_destroy(profile);
    bid_bytes_free(&message);
    message = samples;
    return error;
}

/* Samples that a reader must not take for others, or that take memory out of all proportion. */
static void check_refused(void)
{
    static uint8_t content[16 + BID_PPROF_VALUES_MAX];
    CHECK(status_of(content, 0) == 0);
    CHECK(status_of(content, 2) == BID_PPROF_E_FIELD);
    content[0] = SAMPLE_LOCATIONS << 3 | WIRE_FIXED64;
    CHECK(status_of(content, 9) == BID_PPROF_E_WIRE);
    content[0] = SAMPLE_VALUES << 3 | WIRE_FIXED32;
    CHECK(status_of(content, 5) == BID_PPROF_E_WIRE);
    content[0] = SAMPLE_VALUES << 3 | WIRE_BYTES;
    for (size_t values = BID_PPROF_VALUES_MAX; values <= BID_PPROF_VALUES_MAX + 1; values++) {
        uint8_t *at = wire_put(content + 1, values);
        memset(at, 0, values);
        CHECK(status_of(content, (size_t)(at - content) + values) ==
              (values > BID_PPROF_VALUES_MAX ? BID_PPROF_E_VALUES : 0));
    }
}

/* The profile twice, as the caller knows it: a function and a thread for each location and each set of labels. */
static int make_tree(const struct bid_pprof *profile, struct bid_tree *tree)
{
    uint32_t functions[LOCATIONS], ends[LOCATIONS], none[LOCATIONS] = {0}, threads[5];
    uint8_t is_bare[LOCATIONS] = {0};
    for (uint32_t i = 0; i < LOCATIONS; i++) {
        functions[i] = (i * 7919) % LOCATIONS;
        ends[i] = i + 1;
    }
    for (uint32_t i = 0; i < 5; i++)
        threads[i] = i;
    struct bid_tree_places places = {functions, ends, none, is_bare, threads, none, none};
    int error = bid_tree_add(tree, profile, 0, &places);
    error = error ? error : bid_tree_add(tree, profile, 1, &places);
    return error ? error : bid_tree_finish(tree);
}

static void check_tree(void)
{
    int64_t error;
    struct bid_pprof *profile = read_all(&message, message.size, &error);
    struct bid_tree *tree = bid_tree_create();
    CHECK(profile && tree && make_tree(profile, tree) == 0);
    CHECK(tree->count == STACKS && tree->profiles == 2 && tree->deepest == 40);
    for (size_t i = 0; i < tree->node_count; i++)
        CHECK(tree->depths[i] > 0 && tree->depths[i] <= (i ? tree->depths[i - 1] : 0) + 1);
    for (size_t i = 0; i < tree->count; i++) {
        CHECK(tree->counts[i] == REPEATS && tree->counts[tree->row_count + 1 + i] == 10 * REPEATS);
        CHECK(tree->nodes[i] > (i ? tree->nodes[i - 1] - 1 : 0) && tree->nodes[i] <= tree->node_count);
    }
    bid_tree_destroy(tree);
    bid_pprof_destroy(profile);
}

static void check_no_memory_for_tree(void)
{
    int64_t error;
    struct bid_pprof *profile = read_all(&message, message.size, &error);
    CHECK(profile);
    unsigned failed = 0;
    for (int limit = 1, done = 0; !done; limit++) {
        allocations_left = limit;
        struct bid_tree *tree = bid_tree_create();
        error = tree ? make_tree(profile, tree) : BID_PPROF_E_MEMORY;
        done = allocations_left != 0;
        allocations_left = -1;
        CHECK(error == (done ? 0 : BID_PPROF_E_MEMORY));
        failed += error != 0;
        if (tree)
            bid_tree_destroy(tree);
    }
    CHECK(failed > 10);
    bid_pprof_destroy(profile);
}

static void check_no_memory(void)
{
    unsigned failed = 0;
    for (int limit = 1, done = 0; !done; limit++) {
        int64_t error;
        struct bid_bytes out = {0};
        allocations_left = limit;
        struct bid_pprof *profile = read_all(&message, message.size, &error);
        if (profile)
            error = add_and_write(profile, &out);
        done = allocations_left != 0;
        allocations_left = -1;
        CHECK(error == (done ? 0 : BID_PPROF_E_MEMORY));
        failed += error != 0;
        if (profile)
            bid_pprof_destroy(profile);
        bid_bytes_free(&out);
    }
    CHECK(failed > 30);
}

int main(void)
{
    make_message();
    check_pieces();
    check_written();
    check_damage();
    check_refused();
    check_room();
    check_no_memory();
    check_tree();
    check_no_memory_for_tree();
    bid_bytes_free(&message);
    return 0;
}
