/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The module of inodes: notices mappings and evictions by kprobes, for a kernel that has no calls for this.
 *
 * A file that is being associated is held by a reference, so its inode is not evicted meanwhile: associate and evict of
 * one inode never meet. A mapping is noticed where nothing may sleep, so a worker reads the build ID a moment later. An
 * eviction removes the entry at once and without memory. In the midst of a resize that may need a record; if there is
 * none, a worker removes the entry. Until then the bit and the generation keep the entry from being taken for another
 * file's.
 */
#include "inodes.h"

#include "bid/elf.h"

#include <linux/file.h>
#include <linux/kprobes.h>
#include <linux/llist.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#define BID_S_ASSOCIATED (1u << 30) /* a bit of i_flags that the kernel does not use */

static struct bid_table *table;
struct bid_kernel_counts bid_kernel_counts;
EXPORT_SYMBOL_GPL(bid_kernel_counts);

static u64 key_of(const struct inode *inode)
{
    return (u64)(uintptr_t)inode;
}

struct bid_table *bid_kernel_table(void)
{
    return table;
}
EXPORT_SYMBOL_GPL(bid_kernel_table);

/* ------------------------------------------------------------------------------------ associate, lookup -- */

static int read_build_id(struct file *file, struct bid_elf *elf)
{
    int status = BID_ELF_MORE;
    u8 buffer[256];
    ssize_t n = 0;
    bid_elf_begin(elf, BID_ELF_FILE);
    elf->want_offset = 0;
    while (status == BID_ELF_MORE) {
        loff_t offset = elf->want_offset, at = offset;
        n = kernel_read(file, buffer, sizeof(buffer), &at);
        if (n < 0)
            return BID_ELF_E_IO;
        status = bid_elf_feed(elf, offset, buffer, n);
    }
    return status;
}

/* The new entry replaces one that an eviction has left here. */
int bid_kernel_associate(struct file *file)
{
    struct inode *inode = file_inode(file);
    struct bid_elf elf;
    int status = read_build_id(file, &elf);
    if (status == BID_ELF_E_IO)
        return -EIO;
    status = bid_upsert(table, key_of(inode), inode->i_generation, elf.id, status == BID_ELF_OK ? elf.id_length : 0);
    if (status < 0)
        return status;
    set_mask_bits(&inode->i_flags, 0u, BID_S_ASSOCIATED);
    atomic64_inc(&bid_kernel_counts.associated);
    return status;
}
EXPORT_SYMBOL_GPL(bid_kernel_associate);

notrace int bid_kernel_lookup(const struct inode *inode, struct bid_build_id *id)
{
    if (!(READ_ONCE(inode->i_flags) & BID_S_ASSOCIATED))
        return BID_ABSENT;
    return bid_lookup_generation(table, key_of(inode), inode->i_generation, id);
}
EXPORT_SYMBOL_GPL(bid_kernel_lookup);

/* -------------------------------------------------------------------------------- what waits for workers -- */

struct waiting {
    struct llist_node node;
    struct file *file; /* to be associated; NULL: an entry to be removed */
    u64 key;
    u32 generation;
};
static LLIST_HEAD(waiting_list);

static void work(struct work_struct *unused)
{
    struct waiting *waiting, *next;
    llist_for_each_entry_safe(waiting, next, llist_del_all(&waiting_list), node)
    {
        if (waiting->file) {
            bid_kernel_associate(waiting->file);
            fput(waiting->file);
        } else if (bid_remove_generation(table, waiting->key, waiting->generation) < 0) {
            atomic64_inc(&bid_kernel_counts.left);
        }
        kfree(waiting);
    }
}
static DECLARE_WORK(waiting_work, work);

/* Context: any but NMI. Returns whether there was memory for it. */
static bool wait_for_worker(struct file *file, u64 key, u32 generation)
{
    struct waiting *waiting = kmalloc(sizeof(*waiting), GFP_ATOMIC | __GFP_NOWARN);
    if (!waiting)
        return false;
    waiting->file = file ? get_file(file) : NULL;
    waiting->key = key;
    waiting->generation = generation;
    if (llist_add(&waiting->node, &waiting_list))
        schedule_work(&waiting_work);
    return true;
}

/* ---------------------------------------------------------------------------------------------- probes -- */

/* Entries are removed whatever the bit says, for it may have been lost. */
static int on_evict(struct kprobe *probe, struct pt_regs *regs)
{
    struct inode *inode = (struct inode *)regs_get_kernel_argument(regs, 0);
    int resizing = bid_resizing(table), status = bid_remove_nmi(table, key_of(inode));
    if (status == BID_OK) {
        atomic64_inc(&bid_kernel_counts.evicted);
        atomic64_add(resizing, &bid_kernel_counts.in_resize);
    } else if (status == BID_E_WOULD_ALLOCATE) {
        atomic64_inc(&bid_kernel_counts.late);
        if (!wait_for_worker(NULL, key_of(inode), inode->i_generation))
            atomic64_inc(&bid_kernel_counts.left);
    }
    return 0;
}

static int on_mmap(struct kprobe *probe, struct pt_regs *regs)
{
    struct file *file = (struct file *)regs_get_kernel_argument(regs, 0);
    if (!file || !(regs_get_kernel_argument(regs, 1) & PROT_EXEC))
        return 0;
    atomic64_inc(&bid_kernel_counts.mapped);
    if (!wait_for_worker(file, 0, 0))
        atomic64_inc(&bid_kernel_counts.not_mapped);
    return 0;
}

static struct kprobe evict_probe = {.symbol_name = "evict", .pre_handler = on_evict};
static struct kprobe mmap_probe = {.symbol_name = "security_mmap_file", .pre_handler = on_mmap};

unsigned long bid_kernel_missed(void)
{
    return evict_probe.nmissed;
}
EXPORT_SYMBOL_GPL(bid_kernel_missed);

/* ---------------------------------------------------------------------------------------------- module -- */

static int __init inodes_init(void)
{
    struct bid_options options = {.size = sizeof(options), .id_size = BID_ID_NARROW};
    int status;
    if (bid_create(&table, &options) != BID_OK)
        return -ENOMEM;
    status = register_kprobe(&evict_probe);
    if (!status) {
        status = register_kprobe(&mmap_probe);
        if (status)
            unregister_kprobe(&evict_probe);
    }
    if (status)
        bid_destroy(table);
    return status;
}

static void __exit inodes_exit(void)
{
    unregister_kprobe(&mmap_probe);
    unregister_kprobe(&evict_probe);
    flush_work(&waiting_work);
    synchronize_rcu(); /* lookups */
    bid_destroy(table);
}

module_init(inodes_init);
module_exit(inodes_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("Build IDs of inodes, for readers in NMI context");
