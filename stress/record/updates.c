/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * updates OBJECT SECONDS: samples that are lost on a processor whose thread updates a table from user space, for so much
 * time of its own. A line for each of: nothing is updated, the kernel's hash map, ours; samples that were due, samples that were
 * taken, updates.
 */
#define _GNU_SOURCE
#include "updates.h"
#include "../../tests/bpf/load.h"

#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>

#define PERIOD_NS 200000ull
#define REGION (32ull << 20)
#define LONGEST 60.0 /* seconds: other programs may have the processor */

enum what { NOTHING, MAP, TABLE, WHATS };

static struct updates *seen;
static struct bid_bpf_region *region;
static int map;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void update(enum what what, uint64_t i)
{
    uint64_t key = updates_key(i % UPDATES_KEYS);
    struct bid_build_id id = {.length = 20};
    memcpy(id.bytes, &i, sizeof i);
    union bpf_attr attribute;
    switch (what) {
    case MAP:
        memset(&attribute, 0, sizeof attribute);
        attribute.map_fd = (uint32_t)map;
        attribute.key = (uint64_t)(uintptr_t)&key;
        attribute.value = (uint64_t)(uintptr_t)&id;
        CHECK(!syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attribute, sizeof attribute));
        break;
    case TABLE:
        while (bid_upsert(bid_bpf_region_table(region), key, 0, id.bytes, id.length) < 0)
            bid_bpf_region_synchronize(region); /* memory that a resize has left waits for a grace period */
        break;
    default:
        break;
    }
}

/* Of this thread, while it runs, by the clock. */
static int open_event(int program)
{
    struct perf_event_attr attribute = {.type = PERF_TYPE_SOFTWARE,
                                        .size = sizeof attribute,
                                        .config = PERF_COUNT_SW_CPU_CLOCK,
                                        .sample_period = PERIOD_NS};
    int event = (int)syscall(SYS_perf_event_open, &attribute, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    CHECK(event >= 0);
    CHECK(!ioctl(event, PERF_EVENT_IOC_SET_BPF, program));
    return event;
}

static uint64_t ran_for(int event)
{
    uint64_t ns;
    CHECK(read(event, &ns, sizeof ns) == sizeof ns);
    return ns;
}

static void measure(enum what what, int event, double seconds)
{
    uint64_t n = 0, runs = seen->runs, ns = ran_for(event);
    for (double end = now() + LONGEST; ran_for(event) - ns < seconds * 1e9 && now() < end;)
        for (int i = 0; i < 1000; i++)
            update(what, n++);
    ns = ran_for(event) - ns;
    printf("%llu %llu %llu\n", (unsigned long long)(ns / PERIOD_NS), (unsigned long long)(seen->runs - runs),
           (unsigned long long)(what == NOTHING ? 0 : n));
}

int main(int count, char **arguments)
{
    cpu_set_t one;
    CHECK(count == 3);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(!sched_setaffinity(0, sizeof one, &one));
    region = region_or_skip(REGION);
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    map = map_fd(object, "map");
    seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(object, "updates"), 0);
    CHECK(seen != MAP_FAILED);
    for (uint64_t i = 0; i < UPDATES_KEYS; i++)
        for (enum what what = MAP; what < WHATS; what++)
            update(what, i);
    int event = open_event(program_fd(object, "on_sample"));
    for (enum what what = NOTHING; what < WHATS; what++)
        measure(what, event, atof(arguments[2]));
    CHECK(seen->hits == seen->runs);
    return 0;
}
