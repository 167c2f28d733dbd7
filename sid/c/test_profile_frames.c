/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Call stacks: what is read of them, where they end, and how they are counted. Stacks are made up here, in memory around
 * which nothing is mapped: whatever is read that should not be ends the test. */
#define _GNU_SOURCE
#include "profiled.h"

#include "../../csrc/profile/server.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>

#define CODE 0x10000ull
#define CODE_BYTES 0x10000ull
#define MODULE 20u
#define OFFSET 0x300u
#define WORDS 4096u /* of a stack */

static struct bid_recording *recording;
static struct bid_slot *slot;
static struct bid_view *view;
static uint64_t *memory; /* the made-up stack */

static uint64_t address_of(unsigned word)
{
    return (uintptr_t)&memory[word];
}

static void begin(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = WORDS * sizeof *memory;
    recording = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *around = mmap(NULL, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(recording != MAP_FAILED && around != MAP_FAILED);
    CHECK(mprotect(around + page, bytes, PROT_READ | PROT_WRITE) == 0);
    memory = (uint64_t *)(around + page);
    recording->flags = BID_PROFILE_STACKS;
    slot = &recording->slots[5];
    slot->claim = 1;
    slot->view = offsetof(struct bid_recording, views);
    view = (struct bid_view *)recording->views;
    view->count = 1;
    view->ranges[0] = (struct bid_view_range){
        .start = CODE, .end = CODE + CODE_BYTES, .offset = OFFSET, .module = MODULE, .reason = BID_SAMPLE_RESOLVED};
    view->main_start = address_of(0);
    view->main_end = address_of(WORDS);
}

static void forget_counts(void)
{
    memset(recording->counts, 0, sizeof recording->counts);
    memset(recording->stacks, 0, sizeof recording->stacks);
    recording->frames_used = 0;
}

/* A frame at this word: the next one is at `caller`, and returns to the code's byte `to`. */
static void frame(unsigned word, uint64_t caller, uint64_t to)
{
    memory[word] = caller;
    memory[word + 1] = CODE + to;
}

static uint64_t key_of(uint64_t byte)
{
    return (uint64_t)MODULE << BID_ADDRESS_BITS | (byte + OFFSET);
}

/* The only stack that has a count; its frames. */
static const uint16_t *only(unsigned *frames, enum bid_stack_end *end, uint64_t *count)
{
    const struct bid_stack *found = NULL;
    for (unsigned i = 0; i < BID_STACKS; i++)
        if (recording->stacks[i].count) {
            CHECK(!found);
            found = &recording->stacks[i];
        }
    CHECK(found && found->frames);
    *frames = found->frames & 0xff;
    *end = (enum bid_stack_end)(found->frames >> 8 & 0xff);
    *count = found->count;
    return recording->frames + (found->frames >> 16) - 1;
}

static void sample(const struct bid_interrupted *at)
{
    bid_agent_sample(recording, slot, at, 1);
    CHECK(slot->inside == 0);
}

/* One sample at `at` has so many frames; the i-th caller is in the call before the code's byte i. */
static void expect(struct bid_interrupted at, unsigned frames, enum bid_stack_end end)
{
    unsigned found;
    enum bid_stack_end why;
    uint64_t count;
    forget_counts();
    at.ip = CODE + 7;
    sample(&at);
    sample(&at);
    const uint16_t *keys = only(&found, &why, &count);
    if (found != frames || why != end)
        fprintf(stderr, "%u frames, end %d; expected %u, %d\n", found, why, frames, end);
    CHECK(found == frames && why == end && count == 2 && recording->counts[keys[0]].key == key_of(7));
    for (unsigned i = 1; i < found; i++)
        CHECK(recording->counts[keys[i]].key == key_of(i - 1));
    CHECK(recording->frames_used == found);
}

/* So many callers, two words apart, from word 10 on; the last one's frame pointer is `last`. */
static struct bid_interrupted chain(unsigned callers, uint64_t last)
{
    for (unsigned i = 0; i < callers; i++)
        frame(10 + 2 * i, i + 1 < callers ? address_of(12 + 2 * i) : last, i + 1); /* behind the call at i */
    return (struct bid_interrupted){.sp = address_of(8), .fp = callers ? address_of(10) : last};
}

static void test_lengths(void)
{
    for (unsigned callers = 0; callers < BID_FRAMES_MAX - 1; callers++)
        expect(chain(callers, 0), callers + 1, BID_STACK_COMPLETE);
    expect(chain(BID_FRAMES_MAX - 1, 0), BID_FRAMES_MAX, BID_STACK_DEEP);
    expect(chain(400, 0), BID_FRAMES_MAX, BID_STACK_DEEP);
}

/* Frame pointers that lead elsewhere, down, nowhere, or out of the stack by a word. */
static void test_no_frames(void)
{
    uint64_t end = address_of(WORDS),
             wrong[] = {
                 1,     8,     address_of(13) + 4, address_of(11),      address_of(0), end - 8, end, end + 8, end - 4,
                 ~0ull, ~7ull, 1ull << 47,         (uintptr_t)recording};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect(chain(2, wrong[i]), 3, BID_STACK_NOT_A_FRAME);
        expect((struct bid_interrupted){.sp = address_of(40), .fp = wrong[i]}, 1, BID_STACK_NOT_A_FRAME);
    }
    frame(20, address_of(20), 1); /* itself */
    expect((struct bid_interrupted){.sp = address_of(8), .fp = address_of(20)}, 2, BID_STACK_NOT_A_FRAME);
    frame(WORDS - 2, 0, 1); /* the last one that fits */
    expect((struct bid_interrupted){.sp = address_of(8), .fp = end - 16}, 2, BID_STACK_COMPLETE);
}

static void test_no_code(void)
{
    uint64_t wrong[] = {0, 1, CODE, CODE + CODE_BYTES + 1, ~0ull};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct bid_interrupted at = chain(3, 0);
        memory[15] = wrong[i];
        expect(at, 3, BID_STACK_NOT_CODE);
    }
    struct bid_interrupted at = chain(1, 0);
    memory[11] = CODE + CODE_BYTES; /* a call may be the last instruction */
    forget_counts();
    at.ip = CODE + 7;
    sample(&at);
    unsigned frames;
    enum bid_stack_end end;
    uint64_t count;
    CHECK(recording->counts[only(&frames, &end, &count)[1]].key == key_of(CODE_BYTES - 1) && frames == 2);
}

/* Nothing of a stack that is not known is read: here it cannot be. */
static void test_unknown(void)
{
    uint64_t end = address_of(WORDS), outside[] = {8, address_of(0) - 8, end, end + 64, ~0ull};
    for (unsigned i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        slot->confirmed = slot->looks = 9;
        slot->claim++;
        sample(&(struct bid_interrupted){.ip = 1, .sp = outside[i], .fp = outside[i]});
        slot->confirmed = slot->looks = 10;
        expect((struct bid_interrupted){.sp = outside[i], .fp = outside[i]}, 1, BID_STACK_UNKNOWN);
    }
    expect((struct bid_interrupted){.sp = 0, .fp = address_of(10)}, 1, BID_STACK_NOT_SUPPORTED);
}

/* A thread's stack is one from the guard's end to the thread pointer, when it has been looked at since. */
static void test_threads_stack(void)
{
    struct bid_interrupted at = chain(3, 0);
    view->main_start = view->main_end = 0;
    view->stacks = 1;
    view->ranges[1] = (struct bid_view_range){.start = address_of(0), .end = address_of(WORDS) + 4096};
    at.thread = address_of(WORDS);
    slot->claim++;
    slot->looks = 3;
    slot->confirmed = 3;
    expect(at, 1, BID_STACK_NEW_THREAD);
    slot->looks = 4; /* a look that has begun */
    expect(at, 1, BID_STACK_NEW_THREAD);
    slot->confirmed = 4;
    expect(at, 4, BID_STACK_COMPLETE);
    at.fp = at.thread - 8; /* what is above the thread pointer is not read: it is not mapped here */
    expect(at, 1, BID_STACK_NOT_A_FRAME);
    at.fp = address_of(10);
    uint64_t others[] = {0, address_of(7), address_of(8), address_of(WORDS) + 4096, ~0ull};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        at.thread = others[i];
        expect(at, 1, BID_STACK_UNKNOWN);
    }
    slot->claim++; /* another slot, as a child of a fork has it */
    at.thread = address_of(WORDS);
    expect(at, 1, BID_STACK_NEW_THREAD);
    view->stacks = 0;
    view->main_start = address_of(0);
    view->main_end = address_of(WORDS);
}

/* Memory full of what looks like frames, and registers at random. */
static void test_anything(void)
{
    uint64_t random = 2023;
    for (unsigned turn = 0; turn < 20000; turn++) {
        for (unsigned i = 0; i < 64; i++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            unsigned word = random >> 40 & (WORDS - 1), to = random >> 20 & (WORDS - 1);
            memory[word] = random >> 60 ? address_of(to) + (random >> 56 == 77) : random;
            memory[(word + 1) % WORDS] = CODE + (random & 0x1ffff);
        }
        sample(&(struct bid_interrupted){
            .ip = random, .sp = address_of(random >> 30 & (WORDS - 1)), .fp = memory[turn % WORDS]});
    }
    CHECK(recording->samples >= 20000);
    memset(memory, 0, WORDS * sizeof *memory);
}

/* ------------------------------------------------------------------------------------------------ counting -- */

static uint64_t counted(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < BID_STACKS; i++)
        sum += recording->stacks[i].frames ? recording->stacks[i].count : 0;
    return sum;
}

/* Stacks that differ in one frame, or in their end, are different. */
static void test_distinct(void)
{
    forget_counts();
    for (unsigned i = 0; i < 100; i++) {
        struct bid_interrupted at = chain(5, i % 2);
        memory[15] = CODE + i / 2 + 1;
        at.ip = CODE;
        sample(&at);
    }
    unsigned stacks = 0;
    for (unsigned i = 0; i < BID_STACKS; i++)
        stacks += recording->stacks[i].count == 1;
    CHECK(stacks == 100 && recording->frames_used == 600 && counted() == 100);
}

/* A sample whose stack has no room is in the counts. */
static void test_full(void)
{
    struct bid_interrupted at = chain(3, 0);
    at.ip = CODE + 1;
    forget_counts();
    recording->frames_used = BID_FRAMES - 3;
    uint64_t samples = recording->samples;
    sample(&at);
    CHECK(counted() == 0 && recording->frames_used == BID_FRAMES - 3 && recording->samples == samples + 1);
    forget_counts();
    for (unsigned i = 0; i < BID_STACKS; i++)
        recording->stacks[i].hash = ~0ull;
    sample(&at);
    CHECK(counted() == 0 && recording->frames_used == 0 && recording->lost == 0);
    forget_counts();
    recording->flags = 0;
    sample(&at);
    CHECK(counted() == 0 && recording->frames_used == 0);
    recording->flags = BID_PROFILE_STACKS;
}

#define TURNS 100000u

static void *add(void *argument)
{
    struct bid_interrupted at = *(struct bid_interrupted *)argument;
    for (uint64_t i = 0; i < TURNS; i++) {
        at.ip = CODE + i % 64;
        bid_agent_sample(recording, slot, &at, 1);
    }
    return NULL;
}

static void test_several_threads(void)
{
    struct bid_interrupted at = chain(3, 0);
    pthread_t threads[3];
    forget_counts();
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, add, &at) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(counted() == 3 * TURNS && recording->frames_used == 64 * 4);
}

/* -------------------------------------------------------------------------------------------- what is seen -- */

static void test_view(void)
{
    static char maps[] = "1000-2000 r-xp 00000000 08:01 7      /a\n"
                         "10000-11000 ---p 00000000 00:00 0 \n"
                         "11000-19000 rw-p 00000000 00:00 0 \n" /* above a guard */
                         "19000-1a000 rw-p 00000000 00:00 0 \n" /* not right above one */
                         "20000-21000 ---p 00000000 00:00 0 \n"
                         "22000-23000 rw-p 00000000 00:00 0 \n" /* a gap */
                         "30000-31000 ---p 00000000 00:00 0 \n"
                         "31000-32000 r--p 00000000 00:00 0 \n" /* not written to */
                         "40000-41000 ---p 00000000 00:00 0 \n"
                         "41000-42000 rw-p 00000000 08:01 9      /b\n" /* a file */
                         "50000-51000 ---p 00000000 00:00 0 \n"
                         "51000-52000 rwxp 00000000 00:00 0      [anon:stack]\n"
                         "60000-61000 ---p 00001000 08:01 9      /b\n"
                         "61000-62000 rw-p 00000000 00:00 0 \n" /* what a file's gap is below of */
                         "7f000-80000 rw-p 00000000 00:00 0      [stack]\n";
    struct bid_maps_text text = {.text = maps, .length = sizeof maps - 1};
    struct bid_view *made = calloc(1, sizeof *made + (1 + BID_VIEW_STACKS) * sizeof made->ranges[0]);
    CHECK(made);
    made->count = 1;
    bid_view_stacks(made, &text);
    CHECK(made->main_start == 0x7f000 && made->main_end == 0x80000 && made->stacks == 2);
    CHECK(made->ranges[1].start == 0x11000 && made->ranges[1].end == 0x19000);
    CHECK(made->ranges[2].start == 0x51000 && made->ranges[2].end == 0x52000);
    free(made);
}

/* The kernel ends whoever makes another system call than read, write, exit and sigreturn. */
static void sample_in_a_sandbox(void)
{
    struct bid_interrupted at = chain(100, 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    sample(&at);
    syscall(SYS_exit, 0);
}

int main(void)
{
    begin();
    test_lengths();
    test_no_frames();
    test_no_code();
    test_unknown();
    test_threads_stack();
    test_anything();
    test_distinct();
    test_full();
    test_several_threads();
    test_view();
    CHECK(in_child(sample_in_a_sandbox) == 0);
    printf("ok\n");
    return 0;
}
