/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * loops OBJECT: nanoseconds of a lookup in the table, and in the kernel's hash map, by turns; a line for each size:
 * KEYS TABLE MAP RATIO, where RATIO is the median of those of each turn.
 */
#include "loops.h"
#include "../../tests/bpf/load.h"

#define REGION (512ull << 20)
#define TURNS 15

static struct loops *loops;

static int map_update(int fd, const void *key, const void *value)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_fd = (uint32_t)fd;
    attribute.key = (uint64_t)(uintptr_t)key;
    attribute.value = (uint64_t)(uintptr_t)value;
    return (int)syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attribute, sizeof attribute);
}

static void put(struct bid_bpf_region *region, int map, uint64_t i)
{
    uint64_t key = loops_key(i);
    struct bid_build_id id = {.length = 20};
    memcpy(id.bytes, &key, sizeof key);
    while (bid_insert(bid_bpf_region_table(region), key, 0, id.bytes, id.length) < 0)
        bid_bpf_region_synchronize(region);
    CHECK(!map_update(map, &key, &id));
}

static double turn(int program, int in_map)
{
    loops->in_map = (uint64_t)in_map;
    CHECK(!run(program));
    CHECK(loops->hits == LOOPS_TURNS);
    return (double)loops->ns / LOOPS_TURNS;
}

static int compare(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *values)
{
    qsort(values, TURNS, sizeof *values, compare);
    return values[TURNS / 2];
}

int main(int count, char **arguments)
{
    static const uint64_t sizes[] = {1000, 57000, 1000000};
    CHECK(count == 2);
    struct bid_bpf_region *region = region_or_skip(REGION);
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    int program = program_fd(object, "loop"), map = map_fd(object, "map");
    loops = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(object, "loops"), 0);
    CHECK(loops != MAP_FAILED);
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double ours[TURNS], theirs[TURNS], ratios[TURNS];
        for (uint64_t i = loops->keys; i < sizes[s]; i++)
            put(region, map, i);
        loops->keys = sizes[s];
        for (unsigned i = 0; i < TURNS; i++) {
            ours[i] = turn(program, 0);
            theirs[i] = turn(program, 1);
            ratios[i] = ours[i] / theirs[i];
        }
        printf("%llu %.1f %.1f %.3f\n", (unsigned long long)sizes[s], median(ours), median(theirs), median(ratios));
    }
    return 0;
}
