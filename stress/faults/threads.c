/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Threads come and go while others update. Each uses the table at once and until its very end, in a destructor of a
 * thread-specific value: it looks up what stays, and inserts, replaces and removes an entry of its own. Nobody
 * registers.
 *
 * Usage: threads N ALIVE (threads in all, and at a time)
 */
#include "faults.h"

#include <pthread.h>
#include <stdatomic.h>

#define STAY 1000
#define CHURNED 3000
#define UPDATERS 2
#define ALIVE_MAX 256

static struct bid_table *table;
static pthread_key_t last_moment;
static atomic_int stop;
static _Atomic(uint64_t) updates, refused, ended;

/* Refused only where a thread that stands still, preempted inside a lookup, holds up too much memory. */
static int count(int status)
{
    CHECK(status >= 0 || status == BID_E_RETIRED);
    atomic_fetch_add(status < 0 ? &refused : &updates, 1);
    return status;
}

static void look_some_up(uint64_t from)
{
    for (uint64_t i = 0; i < 20; i++)
        check_entries(table, (from + i * 37) % STAY, (from + i * 37) % STAY + 1);
}

/* An insert that was refused leaves nothing to replace or remove. */
static void use(uint64_t number)
{
    uint64_t key = inode_key(STAY + CHURNED + number);
    uint8_t id[20];
    make_id(key, 2, id, sizeof id);
    look_some_up(number);
    if (count(insert(table, key, 1, 20)) < 0)
        return;
    if (count(bid_replace(table, key, 2, id, sizeof id)) == BID_OK) {
        struct bid_build_id found;
        CHECK_STATUS(bid_lookup_generation(table, key, 2, &found), BID_OK);
        CHECK(id_is(&found, key, 2, 20));
    }
    while (count(bid_remove(table, key)) < 0)
        bid_reclaim(table);
}

static void at_the_end(void *number)
{
    use((uintptr_t)number);
    atomic_fetch_add(&ended, 1);
}

static void *live(void *number)
{
    use((uintptr_t)number);
    CHECK(pthread_setspecific(last_moment, number) == 0);
    return NULL;
}

static void *update(void *argument)
{
    uint64_t first = STAY + (uintptr_t)argument * (CHURNED / UPDATERS);
    for (uint64_t turn = 0; !atomic_load(&stop); turn++) {
        uint64_t key = inode_key(first + turn % (CHURNED / UPDATERS));
        int status = count(turn / (CHURNED / UPDATERS) % 2 ? bid_remove(table, key) : insert(table, key, 1, 20));
        CHECK(refused || status == BID_OK);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t threads = parameter(argc, argv, 1), alive = parameter(argc, argv, 2);
    pthread_t updater[UPDATERS], thread[ALIVE_MAX];
    CHECK(alive && alive <= ALIVE_MAX && pthread_key_create(&last_moment, at_the_end) == 0);
    table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < STAY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    for (uintptr_t i = 0; i < UPDATERS; i++)
        CHECK(pthread_create(&updater[i], NULL, update, (void *)i) == 0);
    for (uint64_t i = 0; i < threads + alive; i++) {
        if (i >= alive)
            CHECK(pthread_join(thread[i % alive], NULL) == 0);
        if (i < threads)
            CHECK(pthread_create(&thread[i % alive], NULL, live, (void *)(uintptr_t)(i + 1)) == 0);
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < UPDATERS; i++)
        CHECK(pthread_join(updater[i], NULL) == 0);
    check_entries(table, 0, STAY);
    check_absent(table, STAY + CHURNED, STAY + CHURNED + threads + 1);
    CHECK(bid_reclaim(table) == 0);
    struct bid_stats stats = statistics(table);
    figure("threads", ended);
    figure("updates", updates);
    figure("refused", refused);
    figure("resizes", bid_resizes(table));
    figure("pin_slots_used", stats.pin_slots_used);
    figure("pin_slots", stats.pin_slots);
    CHECK(ended == threads && updates > threads * 4 && bid_resizes(table) > 0);
    bid_destroy(table);
    return 0;
}
