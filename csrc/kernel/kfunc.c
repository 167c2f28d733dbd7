/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bpf_bid_lookup(): the build ID of an inode for BPF programs of tracing, in any context, NMIs included.
 *
 * A module of its own, for it needs BTF, which a build against headers without the kernel's own BTF leaves out.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>

#include "inodes.h"

#ifndef __bpf_kfunc /* Linux before 6.3 */
#define __bpf_kfunc __used noinline
#endif
#ifndef BTF_KFUNCS_START /* Linux before 6.9 */
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name) BTF_SET8_END(name)
#endif

int bpf_bid_lookup(struct inode *inode, struct bid_build_id *id);

/* As bid_kernel_lookup(). */
__bpf_kfunc int bpf_bid_lookup(struct inode *inode, struct bid_build_id *id)
{
    return bid_kernel_lookup(inode, id);
}

BTF_KFUNCS_START(bid_kfuncs)
BTF_ID_FLAGS(func, bpf_bid_lookup)
BTF_KFUNCS_END(bid_kfuncs)

static const struct btf_kfunc_id_set bid_kfunc_set = {.owner = THIS_MODULE, .set = &bid_kfuncs};

static int __init kfunc_init(void)
{
    return register_btf_kfunc_id_set(BPF_PROG_TYPE_TRACING, &bid_kfunc_set);
}

/* The set goes with the module's BTF. */
static void __exit kfunc_exit(void)
{
}

module_init(kfunc_init);
module_exit(kfunc_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("Build IDs of inodes for BPF programs");
