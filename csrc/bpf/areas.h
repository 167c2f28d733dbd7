/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Whether the kernel's BPF iterator over mappings (iter/task_vma) may be run. Before Linux 6.2 it did not keep the mm
 * of a task that ends meanwhile, and followed NULL, which crashes the kernel. Whoever runs such an iterator asks first.
 */
#ifndef BID_AREAS_H
#define BID_AREAS_H

struct bid_libbpf;

#define BID_AREAS_UNSAFE "this kernel's BPF iterator over mappings may crash it when a process ends"

/* Context: thread. Progress: blocking, reads the kernel's type information. Memory: libbpf's, given back.
 * Returns: 1 if the iterator is repaired; 0 if it is not, or if that cannot be known. */
int bid_areas_are_safe(const struct bid_libbpf *libbpf);

#endif
