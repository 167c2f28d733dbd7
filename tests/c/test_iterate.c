/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Weakly consistent iteration: what stays throughout is seen exactly once, nothing twice, whatever resizes
 * meanwhile. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#define STEADY 5000
#define CHURNED 5000

struct seen {
    struct bid_table *table;
    unsigned char count[STEADY + CHURNED];
    int meddle; /* the visitor itself updates the table, so that resizes begin and end during the iteration */
    uint64_t visits;
};

static uint64_t key_of(uint64_t number)
{
    return number * 3 + 1;
}

static int note(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct seen *seen = argument;
    uint64_t number = (key - 1) / 3;
    CHECK(number < STEADY + CHURNED && key == key_of(number));
    CHECK_STATUS(status, BID_OK);
    CHECK(id_is(id, key, 1, 20));
    CHECK(seen->count[number]++ == 0);
    if (seen->meddle) {
        uint64_t other = key_of(STEADY + seen->visits++ * 7 % CHURNED);
        CHECK(seen->visits % 3 ? insert(seen->table, other, 1, 20) >= 0 : bid_remove(seen->table, other) >= 0);
        if (seen->visits % 1000 == 0) { /* the iteration itself is the reader that stalls */
            int status = seen->visits % 2000 ? shrink_table(seen->table) : bid_reserve(seen->table, 30000);
            CHECK(status == BID_OK || status == BID_E_RETIRED);
        }
    }
    return 0;
}

static void iterate_and_check(struct bid_table *table, int meddle)
{
    static struct seen seen;
    seen = (struct seen){.table = table, .meddle = meddle};
    CHECK(bid_iterate(table, note, &seen) == 0);
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK(seen.count[i] == 1);
}

static struct bid_table *steady_table(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, key_of(i), 1, 20), BID_OK);
    return table;
}

static atomic_int stop;

static void *churn(void *argument)
{
    for (uint64_t turn = 0; !atomic_load(&stop); turn++) {
        uint64_t key = key_of(STEADY + turn * 11 % CHURNED);
        int status = turn / CHURNED % 2 ? bid_remove(argument, key) : insert(argument, key, 1, 20);
        CHECK(status >= 0 || status == BID_E_RETIRED); /* if the iteration stands still on a busy machine */
        if (turn % 5000 == 0)
            CHECK(shrink_table(argument) >= 0 || bid_reclaim(argument) > 0);
    }
    return NULL;
}

static int stop_at_third(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    return ++*(int *)argument == 3 ? 42 : 0;
}

/* A resize that stands half done when the iteration begins: entries are in one array, in the other, or in both. */
static void half_done(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    int checked = 0;
    for (uint64_t i = 0; i < STEADY; i++) {
        CHECK_STATUS(insert(table, key_of(i), 1, 20), BID_OK);
        if (!bid_resizing(table))
            continue;
        static struct seen seen;
        seen = (struct seen){.table = table};
        CHECK(bid_iterate(table, note, &seen) == 0);
        for (uint64_t j = 0; j < STEADY; j++)
            CHECK(seen.count[j] == (j <= i));
        checked++;
    }
    CHECK(checked > 100);
    bid_destroy(table);
}

int main(void)
{
    struct bid_table *table = steady_table();
    iterate_and_check(table, 0);
    for (int i = 0; i < 5; i++)
        iterate_and_check(table, 1);
    int visits = 0;
    CHECK(bid_iterate(table, stop_at_third, &visits) == 42 && visits == 3);
    uint64_t keys[10];
    CHECK(bid_keys(table, keys, 10) == bid_count(table));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, churn, table) == 0);
    for (int i = 0; i < 200; i++)
        iterate_and_check(table, 0);
    atomic_store(&stop, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    bid_destroy(table);
    half_done();
    return 0;
}
