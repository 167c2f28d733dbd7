/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a sample's handler does with an instruction pointer: the search of the view, the counts, and no system call. */
#define _GNU_SOURCE
#include "profiled.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>

#define RANGES 33 /* sizes of views, from none to so many ranges */
#define SIZE 0x1000ull
#define MODULE 20u

static struct bid_recording *recording;
static struct bid_slot *slot;

static void begin(void)
{
    recording = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(recording != MAP_FAILED);
    slot = &recording->slots[5];
}

/* Ranges of SIZE, each after a gap; range i is module MODULE + i at offset i * 16. */
static void make_view(uint64_t count)
{
    struct bid_view *view = (struct bid_view *)recording->views;
    view->count = count;
    for (uint64_t i = 0; i < count; i++)
        view->ranges[i] = (struct bid_view_range){.start = (2 * i + 1) * SIZE,
                                                  .end = (2 * i + 2) * SIZE,
                                                  .offset = i * 16,
                                                  .module = MODULE + (uint32_t)i,
                                                  .reason = BID_SAMPLE_RESOLVED};
    slot->view = offsetof(struct bid_recording, views);
}

static void sample(uint64_t ip, uint64_t ticks)
{
    bid_agent_sample(recording, slot, &(struct bid_interrupted){.ip = ip}, ticks);
}

static uint64_t count_of(uint64_t number, uint64_t address)
{
    uint64_t key = number << BID_ADDRESS_BITS | address;
    for (unsigned i = 0; i < BID_COUNTS; i++)
        if (recording->counts[i].key == key)
            return recording->counts[i].count;
    return 0;
}

static void check(uint64_t ip, uint64_t number, uint64_t address)
{
    enum bid_sample_reason reason = number >= BID_MODULE_FIRST ? BID_SAMPLE_RESOLVED : BID_SAMPLE_NO_MAPPING;
    uint64_t before = count_of(number, address), samples = recording->samples, so = recording->reasons[reason];
    sample(ip, 3);
    CHECK(count_of(number, address) == before + 1);
    CHECK(recording->samples == samples + 1 && recording->reasons[reason] == so + 1);
    CHECK(slot->inside == 0);
}

static void test_every_edge(void)
{
    for (uint64_t count = 0; count <= RANGES; count++) {
        memset(recording->counts, 0, sizeof recording->counts);
        make_view(count);
        check(0, BID_SAMPLE_NO_MAPPING, 0);
        check(SIZE - 1, BID_SAMPLE_NO_MAPPING, SIZE - 1);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t start = (2 * i + 1) * SIZE;
            check(start, MODULE + i, i * 16);
            check(start + SIZE - 1, MODULE + i, i * 16 + SIZE - 1);
            check(start + SIZE, BID_SAMPLE_NO_MAPPING, start + SIZE);
        }
        check(1ull << 46, BID_SAMPLE_NO_MAPPING, 1ull << 46);
    }
    slot->view = 0; /* none yet */
    check(5 * SIZE, BID_SAMPLE_NO_MAPPING, 5 * SIZE);
    CHECK(recording->ticks == 3 * recording->samples && recording->lost == 0);
}

/* Memory without a file, and a file without an ID: the address is the pointer, or the offset in the file. */
static void test_reasons(void)
{
    memset(recording->counts, 0, sizeof recording->counts);
    make_view(2);
    struct bid_view *view = (struct bid_view *)recording->views;
    view->ranges[0].module = view->ranges[0].reason = BID_SAMPLE_NO_FILE;
    view->ranges[1].reason = BID_SAMPLE_NO_BUILD_ID;
    uint64_t no_file = recording->reasons[BID_SAMPLE_NO_FILE], no_id = recording->reasons[BID_SAMPLE_NO_BUILD_ID];
    sample(SIZE + 7, 1);
    sample(3 * SIZE + 7, 1);
    CHECK(count_of(BID_SAMPLE_NO_FILE, SIZE + 7) == 1 && recording->reasons[BID_SAMPLE_NO_FILE] == no_file + 1);
    CHECK(count_of(MODULE + 1, 16 + 7) == 1 && recording->reasons[BID_SAMPLE_NO_BUILD_ID] == no_id + 1);
}

static void test_full(void)
{
    make_view(1);
    for (unsigned i = 0; i < BID_COUNTS; i++)
        recording->counts[i].key = ~0ull;
    uint64_t samples = recording->samples;
    sample(SIZE, 1);
    CHECK(recording->lost == 1 && recording->samples == samples + 1);
    memset(recording->counts, 0, sizeof recording->counts);
    recording->lost = 0;
}

#define TURNS 200000u

static void *add(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; i < TURNS; i++)
        sample(SIZE + i % 64, 1);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[3];
    uint64_t sum = 0;
    make_view(1);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, add, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < BID_COUNTS; i++)
        sum += recording->counts[i].count;
    CHECK(sum == 3 * TURNS && recording->lost == 0 && slot->inside == 0);
    for (uint64_t i = 0; i < 64; i++)
        CHECK(count_of(MODULE, i) == 3 * TURNS / 64);
}

/* The kernel ends whoever makes another system call than read, write, exit and sigreturn. */
static void sample_in_a_sandbox(void)
{
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    sample(SIZE, 1);
    sample(0, 1);
    syscall(SYS_exit, 0);
}

int main(void)
{
    begin();
    test_every_edge();
    test_reasons();
    test_full();
    test_threads();
    CHECK(in_child(sample_in_a_sandbox) == 0);
    printf("ok\n");
    return 0;
}
