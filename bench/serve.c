/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The C side of lookup_many.py: fills a table from a file of keys, then, for each line on standard input, looks all of
 * them up once in another order, and prints a line: ns a key by bid_lookup_many() into arrays for all answers, ns a key
 * by a loop over bid_lookup(), keys found.
 *
 * The file: `entries` keys to insert, then the keys to look up, 64-bit words in native order.
 */
#include "bench.h"

#include "pybuildid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct serve {
    uint64_t *words, *lookups;
    size_t count;
    uint8_t *ids, *lengths;
    void *table;
};

static void serve_read(struct serve *serve, const char *path, size_t entries)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        bench_die("%s: %s", path, strerror(errno));
    size_t words = (size_t)ftell(file) / sizeof *serve->words;
    if (words <= entries)
        bench_die("%s: no keys to look up after %zu entries", path, entries);
    rewind(file);
    serve->words = bench_allocate(words * sizeof *serve->words);
    if (fread(serve->words, sizeof *serve->words, words, file) != words)
        bench_die("%s: %s", path, strerror(errno));
    fclose(file);
    serve->lookups = serve->words + entries;
    serve->count = words - entries;
    serve->ids = bench_allocate(serve->count * BENCH_ID_BYTES);
    serve->lengths = bench_allocate(serve->count);
    memset(serve->ids, 1, serve->count * BENCH_ID_BYTES); /* touched */
    memset(serve->lengths, 1, serve->count);
}

static size_t serve_one_by_one(const struct serve *serve)
{
    size_t found = 0;
    for (size_t i = 0; i < serve->count; i++) {
        struct bid_build_id id;
        if (bid_lookup(serve->table, serve->lookups[i], &id) != BID_OK)
            continue;
        memcpy(serve->ids + i * BENCH_ID_BYTES, id.bytes, BENCH_ID_BYTES);
        serve->lengths[i] = id.length;
        found++;
    }
    return found;
}

static void serve_turn(const struct serve *serve)
{
    uint64_t begin = bench_now();
    size_t many =
        bid_lookup_many(serve->table, serve->lookups, serve->count, serve->ids, BENCH_ID_BYTES, serve->lengths);
    uint64_t middle = bench_now();
    size_t one_by_one = serve_one_by_one(serve);
    uint64_t end = bench_now();
    if (many != one_by_one)
        bench_die("bid_lookup_many() found %zu keys, bid_lookup() %zu", many, one_by_one);
    printf("%.3f %.3f %zu\n", (double)(middle - begin) / (double)serve->count,
           (double)(end - middle) / (double)serve->count, many);
    fflush(stdout);
}

int bench_serve(const struct bench_config *config, const char *path, size_t entries)
{
    struct serve serve;
    char line[16];
    bench_pin_to(config->cpus[0]);
    serve_read(&serve, path, entries);
    serve.table = bench_pybuildid.create(config->seed);
    if (bench_pybuildid.insert(serve.table, serve.words, serve.words, entries) != entries)
        bench_die("an insert failed: keys must differ");
    bench_pybuildid.settle(serve.table);
    while (fgets(line, sizeof line, stdin))
        serve_turn(&serve);
    bench_pybuildid.destroy(serve.table);
    free(serve.words);
    free(serve.ids);
    free(serve.lengths);
    return 0;
}
