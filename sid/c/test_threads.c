/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Threads by the thousand, and more of them at once than the pin table has slots for (G6). */
#include "check.h"

#include "pin.h"
#include "table.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define STEADY 1000

static struct bid_table *table;
static atomic_int stop, waiting, go_on;

static void look_some_up(uint64_t from)
{
    for (uint64_t i = 0; i < 100; i++) {
        struct bid_build_id id;
        uint64_t key = inode_key((from + i * 7) % STEADY);
        CHECK_STATUS(bid_lookup(table, key, &id), BID_OK);
        CHECK(id_is(&id, key, 1, 20));
    }
}

static void *short_life(void *argument)
{
    look_some_up((uintptr_t)argument);
    return NULL;
}

static void *churn(void *argument)
{
    for (uint64_t turn = 0; !atomic_load(&stop); turn++) {
        uint64_t key = inode_key(STEADY + turn * 13 % 3000);
        int status = turn / 3000 % 2 ? bid_remove(table, key) : insert(table, key, 1, 20);
        CHECK_STATUS(status < 0 && status != BID_E_RETIRED ? status : BID_OK, BID_OK); /* a preempted thread stalls */
    }
    return argument;
}

/* All of them hold on until the last one has come, then look up again at the same time. */
static void *crowd(void *argument)
{
    look_some_up((uintptr_t)argument);
    atomic_fetch_add(&waiting, 1);
    while (!atomic_load(&go_on))
        sched_yield();
    look_some_up((uintptr_t)argument);
    return NULL;
}

static int stay_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    atomic_fetch_add(&waiting, 1);
    while (!atomic_load(&go_on))
        sched_yield();
    return 1;
}

static void *pinned_crowd(void *argument)
{
    CHECK(bid_iterate(table, stay_inside, NULL) == 1);
    return argument;
}

#define READERS 200 /* more than there are temporary slots */

static atomic_long inside, leave;

static int stay_until_told(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    atomic_fetch_add(&inside, 1);
    while (atomic_load(&leave) <= (intptr_t)argument)
        sched_yield();
    return 1;
}

static void *read_until_told(void *argument)
{
    CHECK(bid_iterate(table, stay_until_told, argument) == 1);
    return NULL;
}

/* While others have every slot for life, the readers that come first take the temporary ones, and the rest have none.
 * When the first have left, the rest alone must keep what they read. */
static void readers_without_a_slot(void)
{
    pthread_t threads[READERS];
    for (intptr_t i = 0; i < READERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, read_until_told, (void *)i) == 0);
        while (atomic_load(&inside) <= i)
            sched_yield();
    }
    for (int rest = READERS / 4; rest >= 0; rest -= READERS / 4) {
        atomic_store(&leave, READERS - rest);
        for (int i = rest ? 0 : READERS - READERS / 4; i < READERS - rest; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK_STATUS(bid_reserve(table, rest ? 200000 : 0), BID_OK);
        CHECK(!bid_reclaim(table) == !rest);
    }
}

/* While others have every slot for life, readers for whom there are temporary ones, and nobody besides: those must keep what they
 * read, too, and leave all slots free. */
static void readers_in_temporary_slots(void)
{
    enum { FEW = 20 };
    pthread_t threads[FEW];
    atomic_store(&inside, 0);
    atomic_store(&leave, 0);
    for (intptr_t i = 0; i < FEW; i++)
        CHECK(pthread_create(&threads[i], NULL, read_until_told, (void *)i) == 0);
    while (atomic_load(&inside) < FEW)
        sched_yield();
    for (unsigned i = 0; i < BID_PIN_OVERFLOWS; i++)
        CHECK(bid_load(&table->pins->area->overflow[i], BID_RELAXED) == 0);
    CHECK_STATUS(bid_reserve(table, 400000), BID_OK);
    CHECK(bid_reclaim(table) > 0);
    atomic_store(&leave, FEW);
    for (int i = 0; i < FEW; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(bid_reclaim(table) == 0);
    for (unsigned i = 0; i < BID_PIN_TEMPORARY; i++)
        CHECK(bid_load(&table->pins->area->slots[BID_PIN_SLOTS + i].owner, BID_RELAXED) == 0);
    CHECK_STATUS(shrink_table(table), BID_OK);
}

static void many_at_once(void *(*run)(void *), unsigned n)
{
    pthread_t *threads = calloc(n, sizeof *threads);
    pthread_attr_t attributes;
    size_t stack = PTHREAD_STACK_MIN < 64 << 10 ? 64 << 10 : (size_t)PTHREAD_STACK_MIN; /* on AArch64 it is 128 KiB */
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, stack) == 0);
    atomic_store(&waiting, 0);
    atomic_store(&go_on, 0);
    for (uintptr_t i = 0; i < n; i++)
        CHECK(pthread_create(&threads[i], &attributes, run, (void *)i) == 0);
    while (atomic_load(&waiting) < (int)n)
        sched_yield();
    if (run == pinned_crowd) { /* none of them may lose what it reads, however it is pinned */
        uint64_t before = statistics(table).bytes_retired;
        CHECK_STATUS(bid_reserve(table, 200000), BID_OK);
        CHECK(bid_reclaim(table) > before);
    } else {
        readers_without_a_slot();
        readers_in_temporary_slots();
    }
    atomic_store(&go_on, 1);
    for (unsigned i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(bid_reclaim(table) == 0);
    free(threads);
}

int main(void)
{
    pthread_t updater, thread;
    table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(pthread_create(&updater, NULL, churn, NULL) == 0);
    for (uintptr_t i = 0; i < 10000; i++) {
        CHECK(pthread_create(&thread, NULL, short_life, (void *)i) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    atomic_store(&stop, 1);
    CHECK(pthread_join(updater, NULL) == 0);
    many_at_once(crowd, 3000);
    CHECK_STATUS(shrink_table(table), BID_OK);
    many_at_once(pinned_crowd, 3000);
    struct bid_stats stats = statistics(table);
    printf("%u of %u pin slots used\n", stats.pin_slots_used, stats.pin_slots);
    CHECK(stats.pin_slots_used > stats.pin_slots * 9 / 10);
    bid_destroy(table);
    return 0;
}
