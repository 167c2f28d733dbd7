/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Resizes as fast as they go under slow BPF readers; memory that is freed is poisoned. With "wait" no reader may see
 * that; with "hurry" grace periods are said to be over at once, and one must. Usage: reclaim OBJECT wait|hurry
 */
#include "reclaim.h"
#include "load.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <time.h>

#define BYTES (16ull << 20)
#define LONGEST 10 /* seconds */

static struct bid_table *table;
static struct bid_allocator allocator, poisoning;
static int program, hurry, over;

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

static void *observe(void *nothing)
{
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        uint64_t number = bid_grace_begin(table);
        if (!hurry)
            syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
        if (number)
            bid_grace_end(table, number);
        usleep(500);
    }
    return nothing;
}

/* As bid_bpf_region_create() makes it, but that freed memory is to be poisoned, and grace periods are observed here. */
static int map_or_skip(uint64_t bytes)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_type = BPF_MAP_TYPE_ARRAY;
    attribute.map_flags = BPF_F_MMAPABLE;
    attribute.key_size = sizeof(uint32_t);
    attribute.value_size = BID_BPF_LINE;
    attribute.max_entries = (uint32_t)(bytes / BID_BPF_LINE);
    int map = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attribute, sizeof attribute);
    if (map < 0) {
        printf("no BPF map may be made here (%s)\n", strerror(errno));
        exit(77);
    }
    return map;
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

int main(int count, char **arguments)
{
    pthread_t threads[3];
    CHECK(count == 3);
    hurry = strcmp(arguments[2], "hurry") == 0;
    int map = map_or_skip(BYTES);
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    struct bid_region *region;
    CHECK(bid_region_init(memory, BYTES, &region, &allocator) == BID_OK);
    poisoning = allocator;
    poisoning.unmap = unmap;
    struct bid_options options = {.size = sizeof options, .allocator = &poisoning, .flavor = &bid_flavor_shared};
    CHECK(bid_create(&table, &options) == BID_OK && bid_region_publish(region, 0, table) == BID_OK);
    for (uint64_t i = 0; i < STABLE; i++)
        put(i);
    struct bpf_object *object = load(arguments[1], map);
    program = program_fd(object, "read_slowly");
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, read_all_the_time, NULL);
    pthread_create(&threads[2], NULL, observe, NULL);
    struct seen seen = {0};
    time_t end = time(NULL) + LONGEST;
    for (int large = 0; time(NULL) < end && !seen.wrong && (hurry || seen.moved < 60); large = !large) {
        large ? bid_shrink(table) : bid_reserve(table, 3000);
        put(100000);
        bid_remove(table, key_of(100000));
        seen = counts(object);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    seen = counts(object);
    printf("%llu runs, head moved in %llu, wrong %llu, %llu resizes\n", (unsigned long long)seen.runs,
           (unsigned long long)seen.moved, (unsigned long long)seen.wrong, (unsigned long long)bid_resizes(table));
    fflush(stdout);
    CHECK(seen.moved && bid_resizes(table) > 10);
    _exit(hurry ? !seen.wrong : seen.wrong != 0);
}
