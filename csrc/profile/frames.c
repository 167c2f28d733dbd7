/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Call stacks by frame pointers, in the signal handler.
 *
 * Nothing is read but what is sure to be there. A handler cannot ask the system, and what the server has seen of the
 * mappings may be over: another thread may have unmapped it. So memory is read only between the stack pointer and the
 * upper end of a stack that lives as long as the interrupted thread does. There are two kinds:
 *
 * - The first thread's stack: the kernel's, which lasts as long as the program.
 * - A stack on which libc runs a thread: the thread's descriptor lies at its upper end, its guard below it. The server
 *   has seen a mapping right above a guard; if the stack pointer and the descriptor are both in it, then no guard is
 *   between them, so both are in that one stack. This holds for the stacks that there were when the server looked, so
 *   that look must have begun after the thread was first sampled (L).
 *
 * Everything else is BID_STACK_UNKNOWN: coroutines, alternate stacks, stacks that a program gave a thread itself. One
 * case would be taken for a stack wrongly: a thread that was made without a guard, and runs coroutines without guards
 * in the memory right below its own stack.
 *
 * A stack is found twice: once for its hash, and if it is new once more to write it down. So no handler needs room for
 * it. If another thread writes to the stack meanwhile, what is written down is what the second time has found.
 */
#define _GNU_SOURCE
#include "agent.h"

#define PROBES 64                                     /* stacks that are looked at for one sample */
#define FRAME_BYTES 16                                /* the caller's frame pointer, and the return address */
#define ADDRESS_MASK ((1ull << BID_ADDRESS_BITS) - 1) /* the rest may be a signature, on AArch64 */

/* Of another thread than its own nobody reads it: a signal's handler, all signals being blocked. */
#if defined(__GLIBC__)
#define THREAD_LOCAL __attribute__((tls_model("initial-exec"))) static _Thread_local /* never allocated when used */
#else
#define THREAD_LOCAL static _Thread_local
#endif
THREAD_LOCAL struct {
    uint64_t claim; /* the slot of which the rest is */
    uint64_t look;  /* the first one that began after this thread was first sampled */
} first;

struct walk {
    const struct bid_view *view;
    uint64_t fp;       /* of the next frame */
    uint64_t low, top; /* it must be between these */
};

/* ---------------------------------------------------------------------------------------------- which stack -- */

static int is_old_enough(const struct bid_slot *slot, uint64_t confirmed)
{
    if (first.claim != slot->claim) {
        first.claim = slot->claim;
        first.look = bid_load(&slot->looks, memory_order_seq_cst) + 1; /* (L) pairs with bid_view_refresh() */
    }
    return confirmed >= first.look;
}

/* BID_STACK_COMPLETE if frames may be read. */
static enum bid_stack_end begin(struct walk *walk, const struct bid_slot *slot, uint64_t confirmed,
                                const struct bid_interrupted *at)
{
    const struct bid_view *view = walk->view;
    walk->fp = at->fp;
    walk->low = at->sp;
    walk->top = view->main_end;
    if (!at->sp)
        return BID_STACK_NOT_SUPPORTED;
    if (view->main_start <= at->sp && at->sp < view->main_end)
        return BID_STACK_COMPLETE;
    int old_enough = is_old_enough(slot, confirmed);
    const struct bid_view_range *stack = bid_view_find(view->ranges + view->count, view->stacks, at->sp);
    walk->top = at->thread;
    if (!old_enough)
        return BID_STACK_NEW_THREAD;
    return stack && at->sp < at->thread && at->thread < stack->end ? BID_STACK_COMPLETE : BID_STACK_UNKNOWN;
}

/* ---------------------------------------------------------------------------------------------- its frames -- */

/* The key of the caller; 0: there is none, and *end says why. The address of a caller is one less than the return
 * address, so it is in the call, also if that is the last instruction of its function. */
__attribute__((no_sanitize("address", "thread"))) static uint64_t next(struct walk *walk, enum bid_stack_end *end)
{
    uint64_t fp = walk->fp;
    if (!fp) {
        *end = BID_STACK_COMPLETE;
        return 0;
    }
    *end = BID_STACK_NOT_A_FRAME;
    if (fp % sizeof fp || fp < walk->low || fp >= walk->top || walk->top - fp < FRAME_BYTES)
        return 0;
    const volatile uint64_t *frame = (const uint64_t *)(uintptr_t)fp;
    uint64_t address = (frame[1] & ADDRESS_MASK) - 1;
    walk->fp = frame[0];
    walk->low = fp + FRAME_BYTES; /* so the walk ends */
    const struct bid_view_range *code = bid_view_find(walk->view->ranges, walk->view->count, address);
    if (!code)
        *end = BID_STACK_NOT_CODE;
    return code ? bid_agent_key(code, address) : 0;
}

static uint64_t mix(uint64_t hash, uint64_t key)
{
    hash = (hash ^ key) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

struct found {
    uint64_t hash, count; /* of frames, the innermost included */
    enum bid_stack_end end;
};

/* A stack of which nothing may be read: the innermost frame alone. */
static struct found stop(uint64_t key, enum bid_stack_end end)
{
    uint64_t hash = mix(mix(0, key), end);
    return (struct found){.hash = hash + !hash, .count = 1, .end = end};
}

static struct found follow(struct walk walk, uint64_t key)
{
    struct found found = {.count = 0, .end = BID_STACK_DEEP};
    while (key) {
        found.hash = mix(found.hash, key);
        found.count++;
        key = found.count < BID_FRAMES_MAX ? next(&walk, &found.end) : 0;
    }
    if (found.count == BID_FRAMES_MAX)
        found.end = BID_STACK_DEEP;
    found.hash = mix(found.hash, found.end);
    found.hash += !found.hash;
    return found;
}

/* ---------------------------------------------------------------------------------------------- counting -- */

static void write_down(struct bid_recording *recording, struct bid_stack *stack, struct walk walk, uint64_t key,
                       struct found found)
{
    enum bid_stack_end end;
    uint64_t n = 0;
    if (bid_load(&recording->frames_used, BID_RELAXED) + found.count > BID_FRAMES)
        return; /* so it stays near the limit */
    uint64_t place = bid_add(&recording->frames_used, found.count, BID_RELAXED);
    if (place + found.count > BID_FRAMES)
        return;
    while (key) {
        const struct bid_count *count = bid_agent_count(recording, key);
        if (!count)
            return;
        recording->frames[place + n++] = (uint16_t)(count - recording->counts);
        key = n < found.count ? next(&walk, &end) : 0;
    }
    bid_store(&stack->frames, (place + 1) << 16 | (uint64_t)found.end << 8 | n,
              memory_order_release); /* (F) pairs with whoever reads the recording */
}

static void count(struct bid_recording *recording, const struct walk *walk, uint64_t key, struct found found)
{
    for (unsigned i = 0; i < PROBES; i++) {
        struct bid_stack *stack = &recording->stacks[((found.hash >> 32) + i) % BID_STACKS];
        uint64_t hash = bid_load(&stack->hash, BID_RELAXED);
        int claimed = !hash && bid_cas(&stack->hash, &hash, found.hash, BID_RELAXED);
        if (!claimed && hash != found.hash)
            continue;
        bid_add(&stack->count, 1, BID_RELAXED);
        if (claimed)
            write_down(recording, stack, *walk, key, found);
        return;
    }
}

void bid_agent_stack(struct bid_recording *recording, const struct bid_slot *slot, const struct bid_view *view,
                     uint64_t confirmed, const struct bid_interrupted *at, uint64_t key)
{
    struct walk walk = {.view = view};
    enum bid_stack_end end = begin(&walk, slot, confirmed, at);
    struct found found = end == BID_STACK_COMPLETE ? follow(walk, key) : stop(key, end);
    count(recording, &walk, key, found);
}
