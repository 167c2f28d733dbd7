/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Hits while a partner on the other processor churns (inserts and removes other keys) or resizes (reserves four times
 * the room, and shrinks). Each is judged by a quiet hit on the same table just before.
 */
#include "bench.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define CHURN_SLICE 64 /* keys inserted, then removed again */
#define WINDOW 10      /* batches: company comes in waves */

enum work { REST, CHURN, RESIZE, LEAVE };

struct partner {
    const struct bench_contender *contender;
    void *table;
    const struct bench_keys *keys;
    int cpu;
    _Atomic int work;
    _Atomic uint64_t turns; /* resizes there and back, or keys inserted and removed */
    sem_t start, stopped;
    pthread_t thread;
    uint64_t wanted; /* turns that a window must have seen */
};

static void partner_churn(struct partner *partner, size_t *position)
{
    const uint64_t *keys = partner->keys->absent + *position;
    size_t n = partner->keys->n < CHURN_SLICE ? partner->keys->n : CHURN_SLICE;
    if (partner->contender->insert(partner->table, keys, keys, n) != n ||
        partner->contender->remove(partner->table, keys, n) != n)
        bench_die("%s: an insert or remove failed beside lookups", partner->contender->name);
    *position = *position + 2 * n <= partner->keys->n / 8 ? *position + n : 0;
    atomic_fetch_add(&partner->turns, n);
}

static void *partner_main(void *argument)
{
    struct partner *partner = argument;
    size_t position = 0;
    bench_pin_to(partner->cpu);
    partner->contender->thread_begin();
    for (;;) {
        sem_wait(&partner->start);
        int work;
        while ((work = atomic_load(&partner->work)) == CHURN || work == RESIZE) {
            if (work == CHURN) {
                partner_churn(partner, &position);
            } else {
                partner->contender->resize(partner->table, 4 * partner->keys->n);
                atomic_fetch_add(&partner->turns, 1);
            }
        }
        sem_post(&partner->stopped);
        if (work == LEAVE)
            break;
    }
    partner->contender->thread_end();
    return NULL;
}

static int partner_behind(void *argument)
{
    struct partner *partner = argument;
    return atomic_load(&partner->turns) < partner->wanted;
}

static void partner_start(struct partner *partner, int work)
{
    atomic_store(&partner->turns, 0);
    atomic_store(&partner->work, work);
    sem_post(&partner->start);
}

static void partner_stop(struct partner *partner, int work)
{
    atomic_store(&partner->work, work);
    sem_wait(&partner->stopped);
}

static double hit(struct partner *partner, uint64_t batch_ns, int (*go_on)(void *))
{
    return bench_time_draws(partner->contender->hits, partner->table, partner->keys->hits, batch_ns, go_on, partner);
}

static void company_round(struct partner *partner, const struct bench_config *config, int work)
{
    static const char *const names[] = {[CHURN] = "hit beside churn", [RESIZE] = "hit beside resizes"};
    static const char *const quiet[] = {[CHURN] = "hit before churn", [RESIZE] = "hit before resizes"};
    static const char *const rates[] = {[CHURN] = "churn, keys a second",
                                        [RESIZE] = "resizes, there and back, a second"};
    const char *who = partner->contender->name;
    size_t size = partner->keys->n;
    partner->contender->settle(partner->table);
    bench_sample(quiet[work], who, size, hit(partner, config->batch_ns, NULL));
    partner->wanted = work == RESIZE ? 1 : CHURN_SLICE;
    uint64_t begin = bench_now();
    partner_start(partner, work);
    double value = hit(partner, WINDOW * config->batch_ns, partner_behind);
    uint64_t turns = atomic_load(&partner->turns), elapsed = bench_now() - begin;
    partner_stop(partner, REST);
    bench_sample(names[work], who, size, value);
    bench_sample(rates[work], who, size, (double)turns * 1e9 / (double)elapsed);
}

static void partner_begin(struct partner *partner, const struct bench_contender *contender,
                          const struct bench_config *config, const struct bench_keys *keys)
{
    partner->contender = contender;
    partner->keys = keys;
    partner->cpu = config->cpus[1];
    partner->table = contender->create(config->seed);
    bench_fill(contender, partner->table, keys);
    sem_init(&partner->start, 0, 0);
    sem_init(&partner->stopped, 0, 0);
    if (pthread_create(&partner->thread, NULL, partner_main, partner) != 0)
        bench_die("pthread_create failed");
}

static void partner_end(struct partner *partner)
{
    atomic_store(&partner->work, LEAVE);
    sem_post(&partner->start);
    pthread_join(partner->thread, NULL);
    partner->contender->settle(partner->table);
    partner->contender->destroy(partner->table);
    sem_destroy(&partner->start);
    sem_destroy(&partner->stopped);
}

void bench_company(const struct bench_config *config, const struct bench_keys *keys)
{
    struct partner partners[BENCH_CONTENDERS] = {0};
    unsigned count = bench_contenders[1] ? 2 : 1;
    if (config->cpus[1] < 0)
        return; /* the report says so */
    for (unsigned i = 0; i < count; i++)
        partner_begin(&partners[i], bench_contenders[i], config, keys);
    for (unsigned round = 0; round < config->rounds; round++)
        for (unsigned i = 0; i < count; i++) {
            struct partner *partner = &partners[(i + round) % count];
            company_round(partner, config, CHURN);
            if (partner->contender->resize)
                company_round(partner, config, RESIZE);
        }
    for (unsigned i = 0; i < count; i++)
        partner_end(&partners[i]);
}
