/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The recorder's BPF programs: one takes samples, the others keep spaces and the table honest. All are attached to
 * perf events, BTF tracepoints and an iterator; none needs tracefs.
 */
#include "record.h"
#include "space.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct bid_record_settings settings = {};

/* Room for the largest sample: what is between the counts is read by the process, in this order. */
struct scratch {
    struct bid_sample sample;
    char frames[BID_STACK_FRAMES * sizeof(struct bid_frame) + BID_STACK_FRAMES * sizeof(u64)];
    struct bid_stack stack;
    struct bid_stack again; /* with BID_RECORD_COMPARE */
    struct bpf_stack_build_id kernels[BID_STACK_FRAMES];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct scratch);
} scratch SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, BID_COUNTS);
    __type(key, u32);
    __type(value, u64);
} counts SEC(".maps");

struct { /* processes that are sampled with BID_RECORD_ONLY */
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, u32);
    __type(value, u8);
} targets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 22);
} samples SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} events SEC(".maps");

static __always_inline void count(u32 what, u64 n)
{
    u64 *value = bpf_map_lookup_elem(&counts, &what);
    if (value)
        *value += n;
}

/* ------------------------------------------------------------------------------------------- samples -- */

/* Whether the kernel has an answer. For an address in no mapping it gives the build ID of the next mapping above, with
 * an offset as if that went down to there: below its file's beginning, so it is a negative number. */
static __always_inline int kernel_answers(const struct bpf_stack_build_id *kernels)
{
    return kernels->status == BPF_STACK_BUILD_ID_VALID && !(kernels->offset >> 63);
}

/* The kernel's own answer, for a frame that has none. */
__noinline int take_kernels(struct bid_frame *frame, struct bpf_stack_build_id *kernels)
{
    if (!frame || !kernels || frame->status == BPF_STACK_BUILD_ID_VALID || !kernel_answers(kernels))
        return 0;
    __builtin_memcpy(frame->build_id, kernels->build_id, sizeof frame->build_id);
    frame->offset = kernels->offset;
    frame->status = BPF_STACK_BUILD_ID_VALID;
    frame->source = BID_SOURCE_KERNEL;
    return 1;
}

/* Whether the table's answer is another than the kernel's: only if it was the same before and after the kernel's. */
__noinline int compare_frame(struct bid_frame *frame, struct bpf_stack_build_id *kernels, struct bid_frame *after)
{
    if (!frame || !kernels || !after)
        return 0;
    int table = frame->status == BPF_STACK_BUILD_ID_VALID, kernel = kernel_answers(kernels);
    count(BID_COUNT_FRAMES, 1);
    count(BID_COUNT_TABLE_VALID, table);
    count(BID_COUNT_KERNEL_VALID, kernel);
    count(BID_COUNT_KERNEL_ABSURD, !kernel && kernels->status == BPF_STACK_BUILD_ID_VALID);
    if (!table || !kernel)
        return 0;
    count(BID_COUNT_BOTH_VALID, 1);
    int differs = frame->offset != kernels->offset, moved = after->status != frame->status;
    moved |= after->offset != frame->offset || after->inode != frame->inode || after->tag != frame->tag;
    for (u32 i = 0; i < sizeof frame->build_id; i++)
        differs |= frame->build_id[i] != kernels->build_id[i];
    count(BID_COUNT_WRONG, differs && !moved);
    return differs && !moved;
}

__noinline int take_kernels_answers(struct bid_stack *stack, struct scratch *room)
{
    if (!stack || !room)
        return 0;
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= stack->count)
            break;
        take_kernels(&stack->frames[i], &room->kernels[i]);
    }
    return 0;
}

__noinline int compare_stack(struct bid_stack *stack, struct scratch *room)
{
    if (!stack || !room)
        return 0;
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= stack->count)
            break;
        compare_frame(&stack->frames[i], &room->kernels[i], &room->again.frames[i]);
    }
    return 0;
}

__noinline int copy_addresses(struct bid_stack *to, struct bid_stack *from)
{
    if (!to || !from)
        return 0;
    to->count = from->count;
    for (u32 i = 0; i < BID_STACK_FRAMES; i++) {
        if (i >= from->count)
            break;
        to->ips[i] = from->ips[i];
    }
    return 0;
}

/* The user stack, resolved: from the table, and where that has no answer by the kernel itself. */
static __always_inline u32 user_frames(void *context, u64 mm, struct scratch *room)
{
    struct bid_stack *stack = &room->stack;
    long bytes = bpf_get_stack(context, stack->ips, sizeof stack->ips, BPF_F_USER_STACK);
    if (bytes < 0)
        count(BID_COUNT_NO_STACK, 1);
    if (bytes <= 0)
        return 0;
    stack->count = bytes / sizeof(u64);
    u64 begin = bpf_ktime_get_ns();
    bid_stack_resolve(mm, stack);
    u64 middle = bpf_ktime_get_ns();
    if (!stack->unresolved && !(settings.flags & BID_RECORD_COMPARE))
        return stack->count;
    bytes = bpf_get_stack(context, room->kernels, sizeof room->kernels, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
    if (bytes < 0 || bytes / sizeof(struct bpf_stack_build_id) != stack->count)
        return stack->count; /* another stack than the one above */
    if (settings.flags & BID_RECORD_COMPARE) {
        count(BID_COUNT_TABLE_NS, middle - begin);
        count(BID_COUNT_KERNEL_NS, bpf_ktime_get_ns() - middle);
        copy_addresses(&room->again, stack);
        bid_stack_resolve(mm, &room->again);
        compare_stack(stack, room);
    }
    take_kernels_answers(stack, room);
    return stack->count;
}

/* The recorder itself may be a target, so that its children are; it is not sampled. */
static __always_inline int is_wanted(struct task_struct *task, u32 tgid)
{
    if (!tgid || tgid == settings.self || tgid == settings.keeper)
        return 0;
    if ((u32)BPF_CORE_READ(task, real_parent, tgid) == settings.keeper)
        return 0;
    return !(settings.flags & BID_RECORD_ONLY) || bpf_map_lookup_elem(&targets, &tgid);
}

SEC("perf_event")
int take_sample(void *context)
{
    u64 id = bpf_get_current_pid_tgid();
    u32 zero = 0, tgid = id >> 32;
    struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
    struct task_struct *task = bpf_get_current_task_btf();
    if (!room || !is_wanted(task, tgid))
        return 0;
    count(BID_COUNT_SAMPLES, 1);
    u64 mm = (u64)BPF_CORE_READ(task, mm);
    u32 user = mm ? user_frames(context, mm, room) : 0;
    if (user > BID_STACK_FRAMES)
        return 0;
    u32 bytes = user * sizeof(struct bid_frame);
    if (user)
        bpf_probe_read_kernel(room->frames, bytes, room->stack.frames);
    long kernel = bpf_get_stack(context, room->frames + bytes, BID_STACK_FRAMES * sizeof(u64), 0);
    kernel = kernel < 0 ? 0 : kernel;
    room->sample.mm = mm;
    room->sample.tgid = tgid;
    room->sample.tid = id;
    room->sample.user = user;
    room->sample.kernel = kernel / sizeof(u64);
    room->sample.cpu = bpf_get_smp_processor_id();
    bpf_get_current_comm(room->sample.command, sizeof room->sample.command);
    bytes += kernel + sizeof room->sample;
    if (bytes > sizeof room->sample + sizeof room->frames)
        return 0;
    if (bpf_ringbuf_output(&samples, &room->sample, bytes, BPF_RB_NO_WAKEUP))
        count(BID_COUNT_LOST, 1);
    return 0;
}

/* --------------------------------------------------------------------------------------------- files -- */

static __always_inline void read_mtime(struct inode *inode, struct bid_file_state *state)
{
    if (bpf_core_field_exists(inode->i_mtime_sec)) {
        state->mtime = BPF_CORE_READ(inode, i_mtime_sec);
        state->mtime_ns = BPF_CORE_READ(inode, i_mtime_nsec);
        return;
    }
    struct inode___hidden *hidden = (void *)inode;
    struct inode___timespec *old = (void *)inode;
    struct timespec64 time = {};
    if (bpf_core_field_exists(hidden->__i_mtime))
        bpf_core_read(&time, sizeof time, &hidden->__i_mtime);
    else if (bpf_core_field_exists(old->i_mtime))
        bpf_core_read(&time, sizeof time, &old->i_mtime);
    state->mtime = time.tv_sec;
    state->mtime_ns = time.tv_nsec;
}

/* The tag is a hash of all the rest: the seldom case of two states with one tag costs a wrong build ID, once in 2^32
 * times that an address is used again or a file is rewritten. */
static __always_inline void read_state(struct inode *inode, struct bid_file_state *state)
{
    state->inode = (u64)inode;
    state->number = BPF_CORE_READ(inode, i_ino);
    state->size = BPF_CORE_READ(inode, i_size);
    state->generation = BPF_CORE_READ(inode, i_generation);
    state->device = BPF_CORE_READ(inode, i_sb, s_dev);
    read_mtime(inode, state);
    u64 hash = bid_mix(state->number, (u64)state->device << 32 | state->generation);
    hash = bid_mix(state->size, hash);
    hash = bid_mix((u64)state->mtime, hash ^ state->mtime_ns);
    state->tag = hash >> 32;
}

/* The table does not have this state of a file: the process reads it. */
static __always_inline void ask_for(u32 tgid, const struct bid_range *range, const struct bid_file_state *state)
{
    struct bid_event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
    if (!event) {
        count(BID_COUNT_EVENTS_LOST, 1);
        return;
    }
    event->kind = BID_EVENT_FILE;
    event->tgid = tgid;
    event->start = range->start;
    event->end = range->end;
    event->offset = (u64)range->page << BID_PAGE_SHIFT;
    event->file = *state;
    bpf_ringbuf_submit(event, 0);
}

/* A process whose space is to be made, or made anew. */
static __always_inline void ask_for_scan(u32 tgid)
{
    struct bid_event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
    if (!event) {
        count(BID_COUNT_EVENTS_LOST, 1);
        return;
    }
    __builtin_memset(event, 0, sizeof *event);
    event->kind = BID_EVENT_SCAN;
    event->tgid = tgid;
    bpf_ringbuf_submit(event, 0);
}

/* Answers of which only the status counts: nobody reads them. On the stack there is no room before Linux 6.13. */
struct bid_build_id ignored = {};

/* A mapping, as the tree of the mm has it or is about to have it. area: NULL if there is none any more. Asks for its
 * file if the table does not have it and the mapping is new, or if `again`. */
static __always_inline void store(u64 mm, u32 tgid, u64 start, u64 end, struct vm_area_struct *area, int again)
{
    struct bid_range range = {.start = start, .end = end};
    struct bid_file_state state = {};
    int executable = area && BPF_CORE_READ(area, vm_flags) & BID_VM_EXEC;
    struct inode *inode = executable ? BPF_CORE_READ(area, vm_file, f_inode) : NULL;
    u64 page = inode ? BPF_CORE_READ(area, vm_pgoff) : 0;
    if (inode &&
        (page + ((end - start) >> BID_PAGE_SHIFT)) >> 32) { /* a range has no room for it: the kernel answers */
        executable = 0;
        inode = NULL;
    }
    if (inode) {
        read_state(inode, &state);
        range.inode = state.inode;
        range.tag = state.tag;
        range.page = page;
    }
    int stored = bid_space_store(mm, &range, executable);
    if (stored < 0 && !again) { /* full, of what was unmapped as well: emptied, and filled by the iterator */
        bid_space_clear(mm);
        ask_for_scan(tgid);
    }
    if (!stored && !again)
        return;
    count(BID_COUNT_STORES, stored > 0);
    count(BID_COUNT_NO_ROOM, stored < 0);
    if (inode) {
        int status = bid_bpf_lookup_in(0, range.inode, range.tag, &ignored);
        if (status != BID_OK && status != BID_NO_BUILD_ID)
            ask_for(tgid, &range, &state);
    }
}

/* --------------------------------------------------------------------------------------------- hooks -- */

/* The name that the tracepoint gives where it stands before a write of a mapping, as an address. It stands in the midst
 * of the same write as well, under other names: one of them is enough. */
u64 store_function = 0;

/* Apart, so that the quick way needs no stack. */
static __noinline int is_first_store(u64 function)
{
    static const char wanted[] = "mas_store_prealloc";
    char name[sizeof wanted] = {};
    if (store_function)
        return 0;
    bpf_probe_read_kernel(name, sizeof name, (const void *)function);
    for (u32 i = 0; i < sizeof name; i++)
        if (name[i] != wanted[i])
            return 0;
    store_function = function;
    return 1;
}

static __always_inline int is_store(u64 function)
{
    return function == store_function || is_first_store(function);
}

/* The arguments of ma_write(function, state, pivot, entry), by their places. */
enum { BID_WRITE_FUNCTION = 0, BID_WRITE_STATE = 1, BID_WRITE_ENTRY = 3 };

/* Code is mapped, or something else where code may have been. Trees that are no mm's have no space. Mms that are not
 * the current one's change in fork() and execve() only: there nobody executes anything in them yet. */
static __noinline int mapped(u64 *context, u64 mm, u64 flags)
{
    struct ma_state *state = (void *)context[BID_WRITE_STATE];
    u64 start = state->index, end = state->last + 1;
    struct task_struct *task = bpf_get_current_task_btf();
    u32 tgid = task->tgid;
    if ((u64)BPF_CORE_READ(task, mm) != mm || (!(flags & BID_VM_EXEC) && bid_space_find_hole(mm, start, end)))
        return 0;
    if (tgid == settings.self)
        count(BID_COUNT_OWN_STORES, 1);
    store(mm, tgid, start, end, (void *)context[BID_WRITE_ENTRY], 0);
    return 0;
}

/* Every mapping that is made comes by here. Nearly all have nothing to do with code: these get by without a call. What
 * is unmapped (the entry is NULL) is left alone until something else is mapped there. */
static __always_inline int written(u64 *context, u64 tree, u64 flags)
{
    struct ma_state *state = (void *)context[BID_WRITE_STATE];
    u64 mm = tree - bpf_core_field_offset(struct mm_struct, mm_mt);
    if (!(flags & BID_VM_EXEC) && bid_space_in_hole(mm, state->index, state->last + 1))
        return 0;
    return mapped(context, mm, flags);
}

SEC("tp_btf/ma_write")
int on_write(u64 *context)
{
    u64 entry = context[BID_WRITE_ENTRY];
    if (!entry || !is_store(context[BID_WRITE_FUNCTION]))
        return 0;
    struct ma_state *state = (void *)context[BID_WRITE_STATE];
    struct vm_area_struct *area = bpf_rdonly_cast((void *)entry, bpf_core_type_id_kernel(struct vm_area_struct));
    /* The verifier lets nobody multiply a pointer. The difference of two is a number for it. */
    u64 distance = (u64)state->tree - (u64)area;
    barrier_var(distance);
    return written(context, entry + distance, area->vm_flags);
}

/* The same for kernels without bpf_rdonly_cast(), before Linux 6.2. */
SEC("tp_btf/ma_write")
int on_write_by_copy(u64 *context)
{
    struct ma_state *state = (void *)context[BID_WRITE_STATE];
    struct vm_area_struct *area = (void *)context[BID_WRITE_ENTRY];
    if (!area || !is_store(context[BID_WRITE_FUNCTION]))
        return 0;
    return written(context, (u64)BPF_CORE_READ(state, tree), BPF_CORE_READ(area, vm_flags));
}

/* The last user of the mm has gone. */
SEC("tp_btf/exit_mmap")
int BPF_PROG(on_exit_mmap, struct mm_struct *gone)
{
    u64 mm = 0;
    bpf_probe_read_kernel(&mm, sizeof mm, &ctx[0]);
    bid_space_drop(mm);
    return 0;
}

/* A process with a single thread is in fork() itself, so its mappings are those that the child has got. */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child, u64 clone_flags)
{
    struct task_struct *task = bpf_get_current_task_btf();
    u32 tgid = task->tgid, childs = child->tgid;
    u8 one = 1;
    if (clone_flags & BID_CLONE_THREAD)
        return 0;
    if (settings.flags & BID_RECORD_ONLY && bpf_map_lookup_elem(&targets, &tgid))
        bpf_map_update_elem(&targets, &childs, &one, BPF_ANY);
    u64 mm = (u64)BPF_CORE_READ(task, mm), childs_mm = (u64)BPF_CORE_READ(child, mm);
    if (clone_flags & BID_CLONE_VM || !mm || !childs_mm)
        return 0;
    if (BPF_CORE_READ(task, mm, mm_users.counter) != 1 || !bid_space_copy(mm, childs_mm))
        ask_for_scan(childs);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    u32 tgid = task->tgid;
    if (settings.flags & BID_RECORD_ONLY && !BPF_CORE_READ(task, signal, live.counter))
        bpf_map_delete_elem(&targets, &tgid);
    return 0;
}

/* The areas of processes that were there before the hooks, or whose space may be wrong. The iterator holds the mmap
 * lock for reading while this runs, so the area is as it is in the tree, and the hook writes nothing to the same space.
 * It may let go of the lock between two areas, and goes on behind the last one. What is not code takes out what it
 * covers: after a whole turn the space has nothing that is not in the tree but at addresses where nothing is mapped. */
SEC("iter/task_vma")
int scan(struct bpf_iter__task_vma *context)
{
    struct task_struct *task = context->task;
    struct vm_area_struct *area = context->vma;
    if (!task || !area)
        return 0;
    store((u64)BPF_CORE_READ(area, vm_mm), task->tgid, area->vm_start, area->vm_end, area, 1);
    return 0;
}

/* ------------------------------------------------------------------------------------------ eviction -- */

/* The inode's address may be another's from now on. Which file systems have such a tracepoint is looked up when the
 * programs are loaded; for the others the tag alone tells states apart. */
static __always_inline int evict(u64 inode)
{
    int status = bid_bpf_remove(inode, BID_BPF_ANY);
    count(BID_COUNT_REMOVED, status == BID_OK);
    if (status != BID_BPF_E_BUSY)
        return 0;
    struct bid_event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
    if (!event) {
        count(BID_COUNT_EVENTS_LOST, 1);
        return 0;
    }
    __builtin_memset(event, 0, sizeof *event);
    event->kind = BID_EVENT_EVICTED;
    read_state((struct inode *)inode, &event->file);
    bpf_ringbuf_submit(event, 0);
    return 0;
}

#define EVICT(point)                                                                                                   \
    SEC("tp_btf/" #point)                                                                                              \
    int on_##point(u64 *context)                                                                                       \
    {                                                                                                                  \
        u64 inode = 0;                                                                                                 \
        bpf_probe_read_kernel(&inode, sizeof inode, &context[0]);                                                      \
        return evict(inode);                                                                                           \
    }

/* That of xfs has its own inode, with the kernel's in it. */
SEC("tp_btf/xfs_destroy_inode")
int on_xfs_destroy_inode(u64 *context)
{
    u64 inode = 0;
    bpf_probe_read_kernel(&inode, sizeof inode, &context[0]);
    return evict(inode + bpf_core_field_offset(struct xfs_inode, i_vnode));
}

EVICT(ext4_evict_inode)
EVICT(btrfs_inode_evict)
EVICT(f2fs_evict_inode)
EVICT(hugetlbfs_evict_inode)
