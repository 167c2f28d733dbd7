/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The types and fields of the kernel that BPF programs here use. Their offsets are those of the running kernel: libbpf
 * relocates every access when it loads a program (CO-RE), so no vmlinux.h is needed.
 */
#ifndef BID_KERNEL_BPF_H
#define BID_KERNEL_BPF_H

#ifdef __VMLINUX_H__
#include "vmlinux.bpf.h"
#else
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdint.h>
#endif
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef __VMLINUX_H__
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
    int counter;
} atomic_t;
struct super_block {
    u32 s_dev;
};
struct timespec64 {
    s64 tv_sec;
    long tv_nsec;
};
struct inode {
    u64 i_ino;
    u32 i_generation;
    s64 i_size;
    struct super_block *i_sb;
    u16 i_mode;
    s64 i_mtime_sec; /* Linux 6.11 */
    u32 i_mtime_nsec;
};
struct inode___timespec { /* before */
    struct timespec64 i_mtime;
};
struct inode___hidden { /* Linux 6.6 to 6.10 */
    struct timespec64 __i_mtime;
};
struct xfs_inode {
    struct inode i_vnode;
};
struct file {
    struct inode *f_inode;
    u32 f_mode;
};
struct maple_tree {
    u32 ma_flags;
};
struct ma_state {
    struct maple_tree *tree;
    unsigned long index, last;
};
struct mm_struct {
    struct maple_tree mm_mt;
    atomic_t mm_users;
};
struct vm_area_struct {
    unsigned long vm_start, vm_end, vm_flags, vm_pgoff;
    struct file *vm_file;
    struct mm_struct *vm_mm;
};
struct signal_struct {
    atomic_t live;
};
struct files_struct;
struct upid {
    int nr;
};
struct pid {
    u32 level; /* of the PID namespace; numbers has one more */
    struct upid numbers[1];
};
struct task_struct {
    struct mm_struct *mm;
    struct files_struct *files;
    struct signal_struct *signal;
    struct task_struct *group_leader;
    struct task_struct *real_parent;
    struct pid *thread_pid;
    int pid, tgid;
};
struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
};
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};
struct bpf_iter__task_file {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    u32 fd;
    struct file *file;
};
struct bpf_iter__task_vma {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    struct vm_area_struct *vma;
};
#pragma clang attribute pop

/* A pointer as one to a type of the kernel's: it may be read from directly, and what cannot be read is 0. Linux 6.2.
 * Weak: where it is missing, programs that call it are not loaded. */
extern void *bpf_rdonly_cast(const void *object, u32 type) __ksym __weak;
#endif

#define BID_VM_EXEC 0x4ull
#define BID_CLONE_VM 0x100ull
#define BID_CLONE_THREAD 0x10000ull

#endif
