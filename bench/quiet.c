/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One thread alone: hit, dependent hit, miss, insert, remove. In each round the contenders take turns at each figure,
 * the first one first in every other round, so that what drifts hits all alike.
 */
#include "bench.h"

void bench_fill(const struct bench_contender *contender, void *table, const struct bench_keys *keys)
{
    uint8_t id[BENCH_ID_BYTES], expected[BENCH_ID_BYTES];
    if (contender->insert(table, keys->present, keys->next, keys->n) != keys->n)
        bench_die("%s: an insert failed", contender->name);
    contender->settle(table);
    for (size_t i = 0; i < keys->n; i++) {
        bench_id(keys->next[i], expected);
        if (!contender->lookup(table, keys->present[i], id))
            bench_die("%s: an inserted key is absent", contender->name);
        for (size_t byte = 0; byte < sizeof id; byte++)
            if (id[byte] != expected[byte])
                bench_die("%s: a wrong ID", contender->name);
        if (contender->lookup(table, keys->absent[i], id))
            bench_die("%s: a key that was never inserted is there", contender->name);
    }
}

struct drawing {
    bench_loop loop;
    void *table;
    const struct bench_draws *draws;
    size_t chunk;
};

static void draw_chunk(void *argument)
{
    struct drawing *drawing = argument;
    size_t chunk = drawing->chunk++ % (BENCH_DRAWS / BENCH_CHUNK);
    const uint64_t *keys = drawing->draws->keys + chunk * BENCH_CHUNK;
    if (drawing->loop(drawing->table, keys, BENCH_CHUNK) != drawing->draws->sums[chunk])
        bench_die("a wrong answer among %d lookups", BENCH_CHUNK);
}

double bench_time_draws(bench_loop loop, void *table, const struct bench_draws *draws, uint64_t batch_ns,
                        int (*go_on)(void *argument), void *argument)
{
    struct drawing drawing = {loop, table, draws, 0};
    return bench_time_chunks(draw_chunk, &drawing, batch_ns, go_on, argument);
}

struct chaining {
    const struct bench_contender *contender;
    void *table;
    uint64_t key;
    size_t steps;
};

static void chain_chunk(void *argument)
{
    struct chaining *chaining = argument;
    chaining->key = chaining->contender->chain(chaining->table, chaining->key, BENCH_CHUNK);
    chaining->steps += BENCH_CHUNK;
}

static double time_chain(const struct bench_contender *contender, void *table, const struct bench_keys *keys,
                         uint64_t batch_ns)
{
    struct chaining chaining = {contender, table, keys->cycle[0], 0};
    double value = bench_time_chunks(chain_chunk, &chaining, batch_ns, NULL, NULL);
    if (chaining.key != keys->cycle[chaining.steps % keys->n])
        bench_die("%s: a wrong answer on the cycle", contender->name);
    return value;
}

/* What walking the array of keys costs by itself. */
static uint64_t walk(void *table, const uint64_t *keys, size_t n)
{
    (void)table;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = keys[i];
        __asm__ volatile("" : "+r"(key));
        sum += key & 0;
    }
    return sum;
}

/* -------------------------------------------------------------------------------------------- lookups -- */

static void quiet_contender(const struct bench_contender *contender, void *table, const struct bench_config *config,
                            const struct bench_keys *keys, int figure)
{
    static const char *const names[] = {"hit", "dependent hit", "miss", "hit, many a call"};
    double value = 0;
    if (figure == 0)
        value = bench_time_draws(contender->hits, table, keys->hits, config->batch_ns, NULL, NULL);
    else if (figure == 1)
        value = time_chain(contender, table, keys, config->batch_ns);
    else if (figure == 2)
        value = bench_time_draws(contender->hits, table, keys->misses, config->batch_ns, NULL, NULL);
    else if (contender->bulk)
        value = bench_time_draws(contender->bulk, table, keys->hits, config->batch_ns, NULL, NULL);
    else
        return;
    bench_sample(names[figure], contender->name, keys->n, value);
}

static void quiet_loads(struct bench_loads *loads, const char *who, const struct bench_config *config, size_t size,
                        int figure)
{
    if (figure == 0)
        bench_sample("hit", who, size, bench_loads_independent(loads, config->batch_ns));
    else if (figure == 1)
        bench_sample("dependent hit", who, size, bench_loads_dependent(loads, config->batch_ns));
}

static void quiet_round(void *tables[], struct bench_loads *loads[2], const struct bench_config *config,
                        const struct bench_keys *keys, unsigned round)
{
    unsigned count = bench_contenders[1] ? 2 : 1;
    for (int figure = 0; figure < 4; figure++) {
        for (unsigned i = 0; i < count; i++) {
            unsigned which = (i + round) % count;
            quiet_contender(bench_contenders[which], tables[which], config, keys, figure);
        }
        quiet_loads(loads[0], BENCH_PLAIN, config, keys->n, figure);
        quiet_loads(loads[1], BENCH_HUGE, config, keys->n, figure);
    }
    struct bench_draws *floor = keys->misses; /* sums are 0, as are those of the walk */
    bench_sample("walk over the keys", bench_pybuildid.name, keys->n,
                 bench_time_draws(walk, NULL, floor, config->batch_ns, NULL, NULL));
}

void bench_quiet(const struct bench_config *config, const struct bench_keys *keys)
{
    void *tables[BENCH_CONTENDERS] = {NULL};
    for (unsigned i = 0; bench_contenders[i]; i++) {
        tables[i] = bench_contenders[i]->create(config->seed);
        bench_fill(bench_contenders[i], tables[i], keys);
    }
    size_t bytes = bench_table_bytes(tables[0]);
    bench_sample("table, bytes", bench_pybuildid.name, keys->n, (double)bytes);
    struct bench_loads *loads[2] = {bench_loads_make(bytes, 0, config->seed), bench_loads_make(bytes, 1, config->seed)};
    for (unsigned round = 0; round < config->rounds; round++)
        quiet_round(tables, loads, config, keys, round);
    for (unsigned i = 0; bench_contenders[i]; i++)
        bench_contenders[i]->destroy(tables[i]);
    bench_loads_free(loads[0]);
    bench_loads_free(loads[1]);
}

/* ---------------------------------------------------------------------------------------- insert, remove -- */

/* Small tables are filled many times, to fill a batch; the background work of a large one is waited for. */
#define SETTLE_FROM 10000

static void updates_round(const struct bench_contender *contender, const struct bench_config *config,
                          const struct bench_keys *keys)
{
    uint64_t inserting = 0, removing = 0, done = 0;
    while (inserting < config->batch_ns || removing < config->batch_ns) {
        void *table = contender->create(config->seed + done);
        uint64_t begin = bench_thread_time();
        size_t inserted = contender->insert(table, keys->present, keys->next, keys->n);
        inserting += bench_thread_time() - begin;
        if (keys->n >= SETTLE_FROM)
            contender->settle(table);
        begin = bench_thread_time();
        size_t removed = contender->remove(table, keys->cycle, keys->n);
        removing += bench_thread_time() - begin;
        if (inserted != keys->n || removed != keys->n)
            bench_die("%s: an insert or remove failed", contender->name);
        if (keys->n >= SETTLE_FROM)
            contender->settle(table);
        contender->destroy(table);
        done += keys->n;
    }
    bench_sample("insert, from empty", contender->name, keys->n, (double)inserting / (double)done);
    bench_sample("remove, to empty", contender->name, keys->n, (double)removing / (double)done);
}

void bench_updates(const struct bench_config *config, const struct bench_keys *keys)
{
    unsigned count = bench_contenders[1] ? 2 : 1;
    for (unsigned round = 0; round < config->rounds; round++)
        for (unsigned i = 0; i < count; i++)
            updates_round(bench_contenders[(i + round) % count], config, keys);
}
