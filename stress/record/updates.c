/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * updates OBJECT SECONDS: samples that are lost on a processor whose thread updates a table from user space, for so
 * much time of its own. A line for each of: nothing is updated; the kernel's hash map; ours, as often as that; ours, as
 * often as can be. It has the samples that were due, those that were taken, updates. Then a line with the number of
 * instructions that the verifier visits for a program with a lookup.
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

enum what { NOTHING, MAP, TABLE };

static struct updates *seen;
static struct bid_bpf_region *region;
static int map;

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

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t ran_for(int event)
{
    uint64_t ns;
    CHECK(read(event, &ns, sizeof ns) == sizeof ns);
    return ns;
}

/* most: updates a nanosecond; 0: as many as can be. Returns how many there were. */
static double measure(enum what what, int event, double seconds, double most)
{
    uint64_t n = 0, runs = seen->runs, begin = ran_for(event), ns = 0;
    for (double end = now() + LONGEST; (double)ns < seconds * 1e9 && now() < end; ns = ran_for(event) - begin)
        for (int i = 0; i < 1000 && (most == 0 || (double)n <= most * (double)ns); i++)
            update(what, n++);
    printf("%llu %llu %llu\n", (unsigned long long)(ns / PERIOD_NS), (unsigned long long)(seen->runs - runs),
           (unsigned long long)(what == NOTHING ? 0 : n));
    return (double)n / (double)ns;
}

static unsigned verified(int program)
{
    struct bpf_prog_info info;
    union bpf_attr attribute;
    memset(&info, 0, sizeof info);
    memset(&attribute, 0, sizeof attribute);
    attribute.info.bpf_fd = (uint32_t)program;
    attribute.info.info_len = sizeof info;
    attribute.info.info = (uint64_t)(uintptr_t)&info;
    CHECK(!syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attribute, sizeof attribute));
    return info.verified_insns;
}

int main(int count, char **arguments)
{
    cpu_set_t one;
    CHECK(count == 3);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    region = region_or_skip(REGION); /* its thread may run elsewhere */
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(!sched_setaffinity(0, sizeof one, &one));
    struct bpf_object *object = load(arguments[1], bid_bpf_region_fd(region));
    map = map_fd(object, "map");
    seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(object, "updates"), 0);
    CHECK(seen != MAP_FAILED);
    for (uint64_t i = 0; i < UPDATES_KEYS; i++)
        for (enum what what = MAP; what <= TABLE; what++)
            update(what, i);
    int program = program_fd(object, "on_sample"), event = open_event(program);
    double seconds = atof(arguments[2]);
    measure(NOTHING, event, seconds, 0);
    double rate = measure(MAP, event, seconds, 0);
    measure(TABLE, event, seconds, rate);
    measure(TABLE, event, seconds, 0);
    CHECK(seen->hits == seen->runs);
    printf("%u\n", verified(program));
    return 0;
}
