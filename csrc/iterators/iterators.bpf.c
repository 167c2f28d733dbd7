/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* BPF iterators over tasks, their descriptors and their mappings of files: each visit writes one record. */
#include "holder.h"
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define BID_FMODE_NOACCOUNT 0x20000000u /* of Linux: such as the files that overlayfs opens for itself */

/* The number of a task in the PID namespace of the process that reads. */
static __always_inline u32 number_of(struct task_struct *task)
{
    struct task_struct *reader = bpf_get_current_task_btf();
    struct pid *pid = BPF_CORE_READ(task, thread_pid);
    u64 level = BPF_CORE_READ(reader, thread_pid, level);
    u64 numbers = (u64)pid + bpf_core_field_offset(struct pid, numbers);
    struct upid *number = (void *)(numbers + level * bpf_core_type_size(struct upid));
    return pid ? BPF_CORE_READ(number, nr) : 0;
}

static __always_inline int tell(struct bpf_iter_meta *meta, struct task_struct *task, struct file *file,
                                struct bid_holder *holder)
{
    holder->task = number_of(task);
    holder->process = number_of(BPF_CORE_READ(task, group_leader));
    if (file) {
        struct inode *inode = BPF_CORE_READ(file, f_inode);
        holder->file = (u64)file;
        holder->flags = BPF_CORE_READ(file, f_mode) & BID_FMODE_NOACCOUNT ? BID_HOLDER_UNCOUNTED : 0;
        holder->inode = (u64)inode;
        holder->number = BPF_CORE_READ(inode, i_ino);
        holder->device = BPF_CORE_READ(inode, i_sb, s_dev);
        holder->generation = BPF_CORE_READ(inode, i_generation);
        holder->mode = BPF_CORE_READ(inode, i_mode);
    }
    bpf_seq_write(meta->seq, holder, sizeof *holder); /* where it does not fit the kernel visits this again */
    return 0;
}

SEC("iter/task")
int tasks(struct bpf_iter__task *context)
{
    struct bid_holder holder = {};
    struct task_struct *task = context->task;
    if (!task)
        return 0;
    return tell(context->meta, task, NULL, &holder);
}

SEC("iter/task_file")
int descriptors(struct bpf_iter__task_file *context)
{
    struct bid_holder holder = {};
    struct task_struct *task = context->task;
    struct file *file = context->file;
    if (!task || !file)
        return 0;
    holder.owner = (u64)BPF_CORE_READ(task, files);
    holder.start = context->fd;
    return tell(context->meta, task, file, &holder);
}

SEC("iter/task_vma")
int areas(struct bpf_iter__task_vma *context)
{
    struct bid_holder holder = {};
    struct task_struct *task = context->task;
    struct vm_area_struct *area = context->vma;
    struct file *file = area ? area->vm_file : NULL;
    if (!task || !file)
        return 0;
    holder.owner = (u64)area->vm_mm;
    holder.start = area->vm_start;
    holder.end = area->vm_end;
    return tell(context->meta, task, file, &holder);
}
