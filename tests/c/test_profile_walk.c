/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Call stacks of real calls, from a real signal: the registers that the kernel saved, and the frames that this
 * processor's compiler lays out. tests/test_other_processors.py runs it for AArch64. */
#define _GNU_SOURCE
#include "profiled.h"

#include <sys/mman.h>
#include <time.h>

#define MODULE 20u
#define DEPTH 20
#define SAMPLES 3u
#define PATIENCE 20 /* seconds of CPU time */
#define STACK_BYTES (64u << 10)
#define FRAMED __attribute__((noinline)) /* with a frame, since it asks for its address */

extern char __executable_start[], etext[];     /* the linker's */
extern char __start_walked[], __stop_walked[]; /* of the functions in section "walked" */

static struct bid_recording *recording;
static struct bid_slot *slot;
static volatile unsigned long counter;
static void *volatile frame_address;

static void on_sample(const struct bid_interrupted *at, uint64_t ticks, int late)
{
    if (recording->samples < SAMPLES && !late && at->ip >= (uintptr_t)__start_walked &&
        at->ip < (uintptr_t)__stop_walked)
        bid_agent_sample(recording, slot, at, ticks);
}

/* The innermost: it is where samples are taken. */
FRAMED __attribute__((section("walked"))) static void work(void)
{
    frame_address = __builtin_frame_address(0);
    while (recording->samples < SAMPLES && clock() < PATIENCE * CLOCKS_PER_SEC)
        for (int i = 0; i < 100000; i++)
            counter++;
}

FRAMED __attribute__((section("walked"))) static void descend(int depth)
{
    frame_address = __builtin_frame_address(0);
    if (depth)
        descend(depth - 1);
    else
        work();
    counter++; /* no tail call */
}

static void begin(void *top)
{
    recording = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(recording != MAP_FAILED);
    recording->flags = BID_PROFILE_STACKS;
    slot = &recording->slots[5];
    slot->claim = 1;
    slot->view = offsetof(struct bid_recording, views);
    struct bid_view *view = (struct bid_view *)recording->views;
    view->count = 1;
    view->ranges[0] = (struct bid_view_range){.start = (uintptr_t)__executable_start,
                                              .end = (uintptr_t)etext,
                                              .offset = (uintptr_t)__executable_start,
                                              .module = MODULE};
    view->main_start = (uintptr_t)top - STACK_BYTES;
    view->main_end = (uintptr_t)top + 2 * sizeof(uint64_t); /* main()'s frame, and nothing above */
}

static uint64_t address_of(uint16_t count)
{
    return recording->counts[count].key & ((1ull << BID_ADDRESS_BITS) - 1);
}

/* work(), all of descend(), and main(), from whatever instruction of work(). */
static void check(const struct bid_stack *stack, uintptr_t main_call)
{
    unsigned frames = stack->frames & 0xff, walked = 0;
    const uint16_t *keys = recording->frames + (stack->frames >> 16) - 1;
    while (walked < frames && address_of(keys[walked]) >= (uintptr_t)__start_walked &&
           address_of(keys[walked]) < (uintptr_t)__stop_walked)
        walked++;
    if (walked != DEPTH + 2)
        fprintf(stderr, "%u frames, %u of them walked, end %u\n", frames, walked,
                (unsigned)(stack->frames >> 8 & 0xff));
    CHECK(walked == DEPTH + 2);
    uint64_t caller = address_of(keys[walked]);
    CHECK(frames > walked && caller >= main_call && caller < main_call + 4096);
    for (unsigned i = 2; i <= DEPTH; i++) /* all return to the same call */
        CHECK(keys[i] == keys[2]);
}

int main(void)
{
    unsigned stacks = 0;
    begin(frame_address = __builtin_frame_address(0));
    CHECK(bid_signals_take(SIGPROF, on_sample) == 0);
    CHECK(bid_timer_start(997) == 0);
    descend(DEPTH);
    bid_timer_stop();
    CHECK(recording->samples >= SAMPLES);
    for (unsigned i = 0; i < BID_STACKS; i++)
        if (recording->stacks[i].count) {
            check(&recording->stacks[i], (uintptr_t)main);
            stacks++;
        }
    CHECK(stacks >= 1);
    return 0;
}
