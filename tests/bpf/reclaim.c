/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Resizes as fast as they go under slow BPF readers; memory that is freed is poisoned. With "wait" no reader may see
 * that: the region observes grace periods. With "hurry" they are said to be over at once, and one must.
 * Usage: reclaim OBJECT wait|hurry
 */
#define _GNU_SOURCE
#include "reclaim.h"
#include "load.h"

#include "table.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define BYTES (16ull << 20)
#define LONGEST 10 /* seconds */

static struct bid_table *table;
static struct bid_allocator allocator;
static int program, over;

static void unmap(void *context, void **address, size_t bytes)
{
    memset(*address, 0xa5, bytes);
    allocator.unmap(context, address, bytes);
}

static void put(uint64_t i)
{
    uint32_t id[5] = {(uint32_t)key_of(i)};
    CHECK(bid_upsert(table, key_of(i), 1, id, sizeof id) != BID_E_NULL);
}

static void *read_all_the_time(void *nothing)
{
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
        CHECK(!run(program));
    return nothing;
}

static void *hurry_all_the_time(void *nothing)
{
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        uint64_t number = bid_grace_begin(table);
        if (number)
            bid_grace_end(table, number);
        usleep(500);
    }
    return nothing;
}

static struct seen counts(struct bpf_object *object)
{
    struct seen seen = {0};
    uint32_t zero = 0;
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_fd = (uint32_t)map_fd(object, "seen");
    attribute.key = (uint64_t)(uintptr_t)&zero;
    attribute.value = (uint64_t)(uintptr_t)&seen;
    CHECK(!syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attribute, sizeof attribute));
    return seen;
}

/* A reader holds its processor for as long as it looks, so updates need another one. Threads that are made from now on
 * stay there, too. */
static void pin(const cpu_set_t *all, int number)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all) && number-- == 0)
            CPU_SET(cpu, &one);
    CHECK(!sched_setaffinity(0, sizeof one, &one));
}

int main(int count, char **arguments)
{
    pthread_t threads[2];
    CHECK(count == 3);
    int hurry = strcmp(arguments[2], "hurry") == 0;
    cpu_set_t processors;
    CHECK(!sched_getaffinity(0, sizeof processors, &processors));
    if (CPU_COUNT(&processors) < 2) {
        puts("a reader and an updater at once need two processors");
        return 77;
    }
    pin(&processors, 1); /* also the thread of the region */
    struct bid_bpf_region *region = region_or_skip(BYTES);
    table = bid_bpf_region_table(region);
    allocator = table->allocator;
    table->allocator.unmap = unmap;
    for (uint64_t i = 0; i < STABLE; i++)
        put(i);
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    program = program_fd(object, "read_slowly");
    pin(&processors, 0);
    pthread_create(&threads[0], NULL, read_all_the_time, NULL);
    pin(&processors, 1);
    if (hurry)
        pthread_create(&threads[1], NULL, hurry_all_the_time, NULL);
    struct seen seen = {0};
    time_t end = time(NULL) + LONGEST;
    for (int large = 0; time(NULL) < end && !seen.wrong && (hurry || seen.moved < 60); large = !large) {
        large ? bid_shrink(table) : bid_reserve(table, 3000);
        put(100000);
        bid_remove(table, key_of(100000));
        if (!hurry)
            bid_bpf_region_synchronize(region);
        seen = counts(object);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 1 + hurry; i++)
        pthread_join(threads[i], NULL);
    seen = counts(object);
    printf("%llu runs, head moved in %llu, wrong %llu, %llu resizes\n", (unsigned long long)seen.runs,
           (unsigned long long)seen.moved, (unsigned long long)seen.wrong, (unsigned long long)bid_resizes(table));
    fflush(stdout);
    /* With "hurry" a wrong answer is enough: it may be the first, and the head may have moved on to the same place. */
    CHECK(hurry || (seen.moved && bid_resizes(table) > 10));
    _exit(hurry ? !seen.wrong : seen.wrong != 0);
}
