/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Address spaces for BPF programs: which file is mapped where in each process, without a lock, for readers in any
 * context; and whole stacks resolved by it.
 *
 * The kernel keeps the mappings of an mm in a maple tree. Whatever maps, splits or moves writes to that tree under the
 * mmap lock, and the tracepoint ma_write stands before the write that makes a new mapping visible. A program there
 * enters the mapping into the space, if it is executable, and takes out what it covers (bid_space_store()). So:
 *
 *   1. Writers of one space are serialised by its mmap lock: the hook has it for writing, the iterator over the areas
 *      of existing processes (bid_space_store() as well) for reading. There is one such iterator.
 *   2. Nobody executes code of a mapping before the hook has run: the page fault that brings the code in finds the
 *      mapping in the tree, where it came after the hook. So an address that is being executed is in the space under
 *      its file, or in none, but never under the file that was there before.
 *   3. An address that was unmapped may stay under its old file until something else is mapped there. Nothing can be
 *      executed there meanwhile.
 *   4. An inode is mapped, hence alive, as long as a space of a living mm names it: its address is no other's. A space
 *      is removed before its mm is freed (exit_mmap).
 *
 * The tag tells apart inodes that had one address one after the other, and two states of one file. Where a file system
 * has no tracepoint at eviction it is the only thing that does.
 *
 * Progress: wait-free; the bounds are those of the loops. bpf_map_update_elem() may fail for want of memory: then a
 * range is missing, and a frame there has a reason.
 */
#ifndef BID_SPACE_BPF_H
#define BID_SPACE_BPF_H

#include "lookup.bpf.h"
#include "space.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1 << 16);
    __type(key, u64);
    __type(value, struct bid_space);
} bid_spaces SEC(".maps");

struct { /* what a new block begins as */
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct bid_space);
} bid_space_empty SEC(".maps");

/* A hole of a space: no range lies in [start, end). Kept for the latest mappings that are no code, which are often made
 * near the ones before, so that these need not look for the space. Of each mm there is one at most, in a place that
 * others may take over. Only who may write an mm's space puts its hole here and believes it; a range that is entered
 * takes away the hole that it lies in. An mm's address that stands here at both ends of a reading says that nobody has
 * taken over the place meanwhile: for only the reader itself could have written that address again. */
struct bid_hole {
    u64 mm; /* 0: none; BID_HOLE_BUSY: being written */
    u64 start, end;
};
#define BID_HOLE_BUSY 1ull
#define BID_HOLE_SHIFT 10

struct bid_hole bid_holes[1 << BID_HOLE_SHIFT] = {};

/* A stack that is resolved as a whole: addresses in, frames out. */
struct bid_stack {
    u32 count;
    u32 unresolved; /* frames that the kernel's own answer might help */
    u64 ips[BID_STACK_FRAMES];
    struct bid_frame frames[BID_STACK_FRAMES];
    struct bid_frame last;  /* with the latest answer of the table: neighbours are often in the same file */
    struct bid_build_id id; /* here, for the stack of a program has no room for it before Linux 6.13 */
};

static __always_inline struct bid_space *bid_space_block(u64 mm, u64 block)
{
    u64 key = mm + block;
    return bpf_map_lookup_elem(&bid_spaces, &key);
}

/* ------------------------------------------------------------------------------------------- writing -- */

static __always_inline void bid_space_write(struct bid_space *space)
{
    __sync_fetch_and_add(&space->sequence, 1); /* a full barrier */
}

static __always_inline struct bid_hole *bid_hole_of(u64 mm)
{
    return &bid_holes[(mm * 0x9e3779b97f4a7c15ull) >> (64 - BID_HOLE_SHIFT)];
}

/* Whether it is known, without a look at the space, that no range lies in [start, end). */
static __always_inline int bid_space_in_hole(u64 mm, u64 start, u64 end)
{
    volatile struct bid_hole *hole = bid_hole_of(mm);
    if (hole->mm != mm)
        return 0;
    bid_bpf_order();
    int in = start >= hole->start && end <= hole->end;
    bid_bpf_order();
    return in && hole->mm == mm;
}

static __always_inline void bid_hole_put(u64 mm, u64 start, u64 end)
{
    struct bid_hole *hole = bid_hole_of(mm);
    u64 was = hole->mm;
    if (was == BID_HOLE_BUSY || __sync_val_compare_and_swap(&hole->mm, was, BID_HOLE_BUSY) != was)
        return;
    *(volatile u64 *)&hole->start = start;
    *(volatile u64 *)&hole->end = end;
    __sync_lock_test_and_set(&hole->mm, mm); /* a full barrier */
}

static __always_inline void bid_hole_drop(u64 mm)
{
    __sync_val_compare_and_swap(&bid_hole_of(mm)->mm, mm, 0);
}

/* Makes the hole [hole->start, hole->end) smaller, so that no range of this block lies in it; `at` stays in it. Returns
 * 0 if a range lies in [at->start, at->end). */
__noinline int bid_space_narrow(struct bid_space *space, struct bid_hole *hole, struct bid_hole *at)
{
    if (!space || !hole || !at)
        return 0;
    for (u32 i = 0; i < BID_SPACE_RANGES; i++) {
        if (i >= space->used)
            break;
        u64 start = space->ranges[i].start, end = space->ranges[i].end;
        if (end <= at->start)
            hole->start = end > hole->start ? end : hole->start;
        else if (start >= at->end)
            hole->end = start < hole->end ? start : hole->end;
        else
            return 0;
    }
    return 1;
}

/* Whether no range lies in [start, end). Keeps the hole that it lies in. */
static __always_inline int bid_space_find_hole(u64 mm, u64 start, u64 end)
{
    struct bid_hole at = {.start = start, .end = end}, hole = {.start = 0, .end = -1ull};
    struct bid_space *first = bid_space_block(mm, 0);
    u64 blocks = first ? first->blocks : 0;
    for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
        struct bid_space *space = block ? bid_space_block(mm, block) : first;
        if (!space || !bid_space_narrow(space, &hole, &at))
            return 0;
    }
    bid_hole_put(mm, hole.start, hole.end);
    return 1;
}

/* What would remain of a range behind [start, end), for which there is no other place in its block. */
struct bid_rest {
    struct bid_range range;
};

/* Takes [start, end) out of a block. first: block 0 of the space, whose sequence is made odd before the first change.
 * Returns 1 if anything was changed. */
__noinline int bid_space_cut(struct bid_space *first, struct bid_space *space, u64 start, u64 end,
                             struct bid_rest *rest)
{
    int changed = 0;
    if (!first || !space || !rest)
        return 0;
    for (u32 i = 0; i < BID_SPACE_RANGES; i++) {
        struct bid_range *range = &space->ranges[i];
        if (i >= space->used)
            break;
        u64 from = range->start, to = range->end;
        if (to <= start || from >= end)
            continue;
        if (!(first->sequence & 1))
            bid_space_write(first);
        changed = 1;
        if (from < start && to > end) {
            rest->range = *range;
            rest->range.page += (end - from) >> BID_PAGE_SHIFT;
            rest->range.start = end;
            range->end = start;
        } else if (from < start) {
            range->end = start;
        } else if (to > end) {
            range->page += (end - from) >> BID_PAGE_SHIFT;
            range->start = end;
        } else {
            range->end = 0;
        }
    }
    return changed;
}

/* Whether a block has just this range already. */
__noinline int bid_space_has(struct bid_space *space, struct bid_range *range)
{
    if (!space || !range)
        return 0;
    for (u32 i = 0; i < BID_SPACE_RANGES; i++) {
        struct bid_range *one = &space->ranges[i];
        if (i >= space->used)
            break;
        if (one->start == range->start && one->end == range->end)
            return one->inode == range->inode && one->page == range->page && one->tag == range->tag;
    }
    return 0;
}

/* Puts a range into a free place of a block: 1, or 0 if it is full. */
__noinline int bid_space_put(struct bid_space *first, struct bid_space *space, struct bid_range *range)
{
    if (!first || !space || !range)
        return 0;
    for (u32 i = 0; i < BID_SPACE_RANGES; i++) {
        struct bid_range *place = &space->ranges[i];
        if (i < space->used && place->end)
            continue;
        if (!(first->sequence & 1))
            bid_space_write(first);
        *place = *range;
        if (i >= space->used)
            space->used = i + 1;
        return 1;
    }
    return 0;
}

static __always_inline struct bid_space *bid_space_add_block(u64 mm, u64 block)
{
    u32 zero = 0;
    u64 key = mm + block;
    struct bid_space *empty = bpf_map_lookup_elem(&bid_space_empty, &zero);
    if (!empty || bpf_map_update_elem(&bid_spaces, &key, empty, BPF_NOEXIST))
        return NULL;
    return bpf_map_lookup_elem(&bid_spaces, &key);
}

static __always_inline int bid_space_insert(u64 mm, struct bid_space *first, struct bid_range *range)
{
    bid_hole_drop(mm); /* before the range is in the space */
    for (u64 block = 0; block < BID_SPACE_BLOCKS; block++) {
        struct bid_space *space = bid_space_block(mm, block);
        if (!space) {
            space = bid_space_add_block(mm, block);
            if (!space)
                return 0;
            first->blocks = block + 1;
        }
        if (bid_space_put(first, space, range))
            return 1;
    }
    return 0;
}

/* [range->start, range->end) is mapped anew. executable: it is entered; else only what it covers is taken out.
 * The caller holds the mmap lock, or is the only one to use this mm.
 * Returns 1 if the range was new to the space, 0 if it was there as it is or is not executable, -1 if there was no room
 * for what should be there. */
__noinline int bid_space_store(u64 mm, struct bid_range *range, int executable)
{
    struct bid_rest rest = {};
    if (!range)
        return 0;
    struct bid_space *first = bid_space_block(mm, 0);
    if (!first) {
        if (!executable)
            return 0;
        first = bid_space_add_block(mm, 0);
        if (!first)
            return -1;
        first->blocks = 1;
    }
    u64 start = range->start, end = range->end, blocks = first->blocks;
    for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
        struct bid_space *space = block ? bid_space_block(mm, block) : first;
        if (!space)
            break;
        if (executable && bid_space_has(space, range))
            return 0;
        bid_space_cut(first, space, start, end, &rest);
    }
    int stored = !executable || bid_space_insert(mm, first, range);
    if (rest.range.end && !bid_space_insert(mm, first, &rest.range))
        stored = 0;
    if (first->sequence & 1)
        bid_space_write(first);
    return !stored ? -1 : executable;
}

/* A forked process: a copy of the space. The caller knows that nobody is changing the parent's mappings. The child's
 * may be entered by the iterator at this moment: then what is there stays there. Returns 0 if the copy is not whole. */
static __always_inline int bid_space_copy(u64 from, u64 to)
{
    struct bid_space *first = bid_space_block(from, 0);
    if (!first || first->sequence & 1)
        return 0;
    bid_hole_drop(to);
    u64 blocks = first->blocks;
    for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
        u64 key = to + block;
        struct bid_space *space = bid_space_block(from, block);
        if (!space || bpf_map_update_elem(&bid_spaces, &key, space, BPF_NOEXIST))
            return 0;
    }
    return 1;
}

/* Takes out all ranges. The blocks stay: others may be reading them. As bid_space_store(): under the mmap lock. */
static __always_inline void bid_space_clear(u64 mm)
{
    struct bid_space *first = bid_space_block(mm, 0);
    if (!first)
        return;
    bid_space_write(first);
    u64 blocks = first->blocks;
    for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
        struct bid_space *space = block ? bid_space_block(mm, block) : first;
        if (space)
            space->used = 0;
    }
    bid_space_write(first);
}

/* Only when nobody executes in the mm any more: the memory of the blocks is used again at once. */
static __always_inline void bid_space_drop(u64 mm)
{
    struct bid_space *first = bid_space_block(mm, 0);
    u64 blocks = first ? first->blocks : 0;
    bid_hole_drop(mm);
    for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
        u64 key = mm + block;
        bpf_map_delete_elem(&bid_spaces, &key);
    }
}

/* ------------------------------------------------------------------------------------------- reading -- */

/* The place of the range that an address is in; -1: in none of this block. hint: where it may well be. */
__noinline int bid_space_find(struct bid_space *space, u64 ip, u32 hint)
{
    if (!space)
        return -1;
    if (hint < BID_SPACE_RANGES && hint < space->used && ip >= space->ranges[hint].start &&
        ip < space->ranges[hint].end)
        return hint;
    for (u32 i = 0; i < BID_SPACE_RANGES; i++) {
        if (i >= space->used)
            break;
        if (ip < space->ranges[i].end && ip >= space->ranges[i].start)
            return i;
    }
    return -1;
}

/* Gives a frame its range of this block, if there is one. Returns a hint for the next frame. */
__noinline u32 bid_frame_place(struct bid_space *space, struct bid_frame *frame, u32 hint)
{
    if (!space || !frame)
        return hint;
    u32 at = bid_space_find(space, frame->ip, hint);
    if (at >= BID_SPACE_RANGES)
        return hint;
    struct bid_range *range = &space->ranges[at];
    frame->inode = range->inode;
    frame->tag = range->tag;
    frame->place = frame->ip - range->start + ((u64)range->page << BID_PAGE_SHIFT);
    frame->reason = range->inode ? BID_FRAME_OK : BID_FRAME_NO_FILE;
    return at;
}

/* Gives each frame that has no range yet its range of this block. */
__noinline int bid_space_search(struct bid_space *space, struct bid_stack *stack)
{
    u32 hint = 0;
    if (!space || !stack)
        return 0;
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= stack->count)
            break;
        if (stack->frames[i].reason == BID_FRAME_NO_RANGE)
            hint = bid_frame_place(space, &stack->frames[i], hint);
    }
    return 0;
}

/* All frames begin without an answer. */
__noinline int bid_stack_begin(struct bid_stack *stack, u32 reason)
{
    if (!stack)
        return 0;
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= stack->count)
            break;
        stack->frames[i] = (struct bid_frame){
            .status = BPF_STACK_BUILD_ID_IP, .offset = stack->ips[i], .ip = stack->ips[i], .reason = reason};
    }
    return 0;
}

/* The file of a frame whose range is known, as the table knows it. `last` is a frame with the latest answer, and gets
 * this one. Returns 1 if the frame has no build ID and the kernel's own answer might help. */
__noinline int bid_frame_identify(struct bid_frame *frame, struct bid_frame *last, struct bid_build_id *id)
{
    if (!frame || !last || !id)
        return 0;
    if (frame->reason == BID_FRAME_OK && (last->inode != frame->inode || last->tag != frame->tag)) {
        __builtin_memset(id, 0, sizeof *id);
        int status = bid_bpf_lookup_in(0, frame->inode, frame->tag, id);
        last->inode = frame->inode;
        last->tag = frame->tag;
        last->reason = status == BID_OK            ? BID_FRAME_OK
                       : status == BID_ABSENT      ? BID_FRAME_ABSENT
                       : status == BID_STALE       ? BID_FRAME_STALE
                       : status == BID_NO_BUILD_ID ? BID_FRAME_NO_BUILD_ID
                                                   : BID_FRAME_ERROR;
        if (status == BID_OK && id->length > sizeof last->build_id)
            last->reason = BID_FRAME_LONG_ID;
        __builtin_memcpy(last->build_id, id->bytes, sizeof last->build_id);
    }
    if (frame->reason == BID_FRAME_OK)
        frame->reason = last->reason;
    if (frame->reason == BID_FRAME_OK) {
        __builtin_memcpy(frame->build_id, last->build_id, sizeof frame->build_id);
        frame->offset = frame->place;
        frame->status = BPF_STACK_BUILD_ID_VALID;
        frame->source = BID_SOURCE_TABLE;
        return 0;
    }
    return frame->reason != BID_FRAME_NO_FILE && frame->reason != BID_FRAME_NO_BUILD_ID;
}

/* The files of all frames that have a range. */
static __always_inline int bid_stack_identify(struct bid_stack *stack)
{
    stack->last = (struct bid_frame){};
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= stack->count)
            break;
        stack->unresolved += bid_frame_identify(&stack->frames[i], &stack->last, &stack->id);
    }
    return 0;
}

/* Resolves the `count` addresses of a stack of this mm. Every frame is filled. */
__noinline int bid_stack_resolve(u64 mm, struct bid_stack *stack)
{
    if (!stack)
        return BID_BPF_E_REGION;
    stack->unresolved = 0;
    struct bid_space *first = bid_space_block(mm, 0);
    u64 sequence = first ? *(volatile u64 *)&first->sequence : 1;
    bid_bpf_order();
    bid_stack_begin(stack, !first ? BID_FRAME_NO_SPACE : sequence & 1 ? BID_FRAME_CHANGING : BID_FRAME_NO_RANGE);
    if (first && !(sequence & 1)) {
        u64 blocks = first->blocks;
        for (u64 block = 0; block < BID_SPACE_BLOCKS && block < blocks; block++) {
            struct bid_space *space = block ? bid_space_block(mm, block) : first;
            if (!space)
                break;
            bid_space_search(space, stack);
        }
        bid_bpf_order();
        if (*(volatile u64 *)&first->sequence != sequence)
            bid_stack_begin(stack, BID_FRAME_CHANGING);
    }
    return bid_stack_identify(stack);
}

#endif
