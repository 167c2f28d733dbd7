/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A BPF program removes entries on one processor while a thread inserts them and resizes the table on another. What is
 * counted must be there in the end, and nothing else: an entry that a resize has frozen is not the program's to remove.
 * Usage: removes OBJECT
 */
#include "removes.h"
#include "load.h"

#include "table.h"

#include <pthread.h>
#include <time.h>

#define SECONDS 2
#define LONGEST 30

static int program, over;
static uint64_t runs;

static void *remove_all_the_time(void *nothing)
{
    for (; !__atomic_load_n(&over, __ATOMIC_RELAXED); runs++)
        CHECK(!run(program));
    return nothing;
}

/* Between two rounds nothing is removed. */
static void round_of_updates(struct bid_table *table, uint64_t number)
{
    pthread_t remover;
    __atomic_store_n(&over, 0, __ATOMIC_RELAXED);
    CHECK(!pthread_create(&remover, NULL, remove_all_the_time, NULL));
    for (int i = 0; i < 20; i++) {
        for (uint64_t key = 0; key < KEYS; key++)
            bid_upsert(table, key_of(key), (uint32_t)number, &key, sizeof key);
        i % 2 ? bid_shrink(table) : bid_reserve(table, 3 * KEYS);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    pthread_join(remover, NULL);
}

static void count_all(struct bid_table *table)
{
    uint64_t there = 0;
    struct bid_build_id id;
    for (uint64_t key = 0; key < KEYS; key++)
        there += bid_lookup(table, key_of(key), &id) != BID_ABSENT;
    CHECK(there == bid_count(table));
    CHECK(!bid_audit(table, 0));
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    alarm(LONGEST); /* a table that is damaged may hold an update for good */
    struct bid_bpf_region *region = region_or_skip(32 << 20);
    struct bid_table *table = bid_bpf_region_table(region);
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    program = program_fd(object, "remove_some");
    uint64_t rounds = 0;
    for (time_t end = time(NULL) + SECONDS; time(NULL) <= end; rounds++) {
        round_of_updates(table, rounds);
        count_all(table);
    }
    printf("%llu rounds, %llu resizes, %llu removes\n", (unsigned long long)rounds,
           (unsigned long long)bid_resizes(table), (unsigned long long)(runs * REMOVES));
    CHECK(runs && bid_resizes(table) > 10);
    libbpf->bpf_object__close(object);
    bid_bpf_region_destroy(region);
    return 0;
}
