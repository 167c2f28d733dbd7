/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Real inodes under NMIs. The handler looks up the inode of the program that it interrupted, and of files that are held
 * open right before and after they are associated. It knows the right answer from the files themselves: by inode
 * number, which does not change while addresses are used again.
 *
 * Commands, written to /proc/bid_inodes:
 *   = DIR 0 1 N          reads the build IDs of DIR/p0000 and so on, beside the table
 *   + DIR FIRST STEP N   opens each, lets NMIs look, associates it, lets them look again
 *   - DIR FIRST STEP N   opens each and lets NMIs look
 *   ~ DIR 0 1 0          inserts made-up keys until a resize is half done, and leaves it so until the next command
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include <asm/nmi.h>

#include "../../../csrc/kernel/inodes.h"
#include "hpet.h"

#define NUMBERS 65536 /* of inodes */
#define ID_AT 192     /* in each file */
#define ID_SIZE 20
#define PLACES (1 << 16)

/* Ticks of the HPET: a slow machine has to have time for more than NMIs. */
static int period = 20000, least = 2000, ncpus = 2;
module_param(period, int, 0444);
module_param(least, int, 0444);
module_param_named(cpus, ncpus, int, 0444);

static u8 (*truth)[ID_SIZE]; /* by inode number */
static u8 *known;
static u32 *tenant; /* the inode last seen at an address, by a hash of that */
static struct super_block *disk;
static struct inode *opened;            /* that NMIs look at */
static struct task_struct *resizers[2]; /* one on each processor */
static int armed, paused;               /* the resizers */
static u64 made_up;                     /* keys, from 1 on */

/* Written by handlers of either processor: counts only. */
static struct {
    atomic64_t nmis, interrupted, looked, right, absent, stale, wrong;
} seen;
static u64 reused;

/* ------------------------------------------------------------------------------------------ the handler -- */

static void judge(const struct inode *inode)
{
    struct bid_build_id id;
    int status = bid_kernel_lookup(inode, &id);
    atomic64_inc(&seen.looked);
    if (status == BID_ABSENT)
        atomic64_inc(&seen.absent);
    else if (status == BID_STALE)
        atomic64_inc(&seen.stale);
    else if (status == BID_OK && id.length == ID_SIZE && inode->i_ino < NUMBERS && known[inode->i_ino] &&
             !memcmp(id.bytes, truth[inode->i_ino], ID_SIZE))
        atomic64_inc(&seen.right);
    else if (atomic64_inc_return(&seen.wrong) <= 3)
        pr_err("bid_inode_torture: WRONG ANSWER: inode %lu at %px has another file's build ID\n", inode->i_ino, inode);
}

static u32 next_random(void)
{
    static u32 x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static int nmi_handler(unsigned int command, struct pt_regs *regs)
{
    struct mm_struct *mm = current->flags & PF_KTHREAD ? NULL : current->mm;
    struct file *file = mm ? rcu_dereference_raw(mm->exe_file) : NULL;
    struct inode *inode = READ_ONCE(opened);
    u32 r = next_random();
    if (!READ_ONCE(armed))
        return NMI_DONE;
    atomic64_inc(&seen.nmis);
    if (file && file_inode(file)->i_sb == disk) {
        atomic64_inc(&seen.interrupted);
        judge(file_inode(file));
    }
    if (inode)
        judge(inode);
    hpet_set((r >> 16) % ncpus, least + r % period);
    return NMI_HANDLED;
}

/* --------------------------------------------------------------------------------------------- commands -- */

static void remember(struct file *file)
{
    struct inode *inode = file_inode(file);
    loff_t at = ID_AT;
    if (inode->i_ino >= NUMBERS || kernel_read(file, truth[inode->i_ino], ID_SIZE, &at) != ID_SIZE)
        return;
    disk = inode->i_sb;
    smp_store_release(&known[inode->i_ino], 1); /* NMIs look at what is known only after the command */
}

/* Files of the disk whose inode lies where another one of it lay. */
static void note_tenant(const struct inode *inode)
{
    u32 *last = &tenant[((uintptr_t)inode >> 3) % PLACES];
    reused += *last && *last != inode->i_ino;
    *last = inode->i_ino;
}

/* The file cannot go before handlers that saw it are over. */
static void show(struct file *file, int associate)
{
    note_tenant(file_inode(file));
    WRITE_ONCE(opened, file_inode(file));
    udelay(20);
    if (associate && bid_kernel_associate(file) < 0)
        pr_err("bid_inode_torture: could not associate inode %lu\n", file_inode(file)->i_ino);
    udelay(20);
    WRITE_ONCE(opened, NULL);
    synchronize_rcu_expedited();
}

static void leave_half_done(void)
{
    static const u8 id[ID_SIZE] = "made up";
    while (!bid_resizing(bid_kernel_table()) && made_up < NUMBERS)
        if (bid_insert(bid_kernel_table(), ++made_up, 0, id, ID_SIZE) < 0)
            return;
}

static void clean_up(void)
{
    while (made_up)
        bid_remove(bid_kernel_table(), made_up--);
}

static ssize_t command(struct file *unused, const char __user *buffer, size_t length, loff_t *offset)
{
    char text[64], folder[32], path[48], what;
    int first, step, n;
    size_t taken = min(length, sizeof(text) - 1);
    if (copy_from_user(text, buffer, taken))
        return -EFAULT;
    text[taken] = 0;
    if (sscanf(text, "%c %31s %d %d %d", &what, folder, &first, &step, &n) != 5 || step < 1)
        return -EINVAL;
    WRITE_ONCE(paused, what == '~');
    msleep(what == '~' ? 20 : 0); /* those under way */
    if (what == '~')
        leave_half_done();
    else
        clean_up();
    for (; first < n; first += step) {
        struct file *file;
        snprintf(path, sizeof(path), "%s/p%04d", folder, first);
        file = filp_open(path, O_RDONLY, 0);
        if (IS_ERR(file))
            return PTR_ERR(file);
        if (what == '=')
            remember(file);
        else
            show(file, what == '+');
        filp_close(file, NULL);
    }
    return length;
}

static const struct proc_ops command_ops = {.proc_write = command};

/* Resizes all the time on each processor, so that some evictions come in the midst of a resize. */
static int resize(void *unused)
{
    while (!kthread_should_stop()) {
        if (READ_ONCE(paused)) {
            msleep(1);
            continue;
        }
        bid_reserve(bid_kernel_table(), 4000);
        bid_shrink(bid_kernel_table());
        msleep(1);
    }
    return 0;
}

/* ----------------------------------------------------------------------------------------------- module -- */

static void inode_torture_free(void)
{
    vfree(truth);
    vfree(known);
    vfree(tenant);
}

static int __init inode_torture_init(void)
{
    int i, status = -ENOMEM;
    if (ncpus > (int)ARRAY_SIZE(resizers))
        return -EINVAL;
    truth = vzalloc(NUMBERS * ID_SIZE);
    known = vzalloc(NUMBERS);
    tenant = vzalloc(PLACES * sizeof(*tenant));
    if (!truth || !known || !tenant || !proc_create("bid_inodes", 0600, NULL, &command_ops))
        goto failed;
    status = hpet_map();
    if (status)
        goto failed;
    for (i = 0; i < ncpus; i++) {
        resizers[i] = kthread_create(resize, NULL, "bid_resize/%d", i);
        kthread_bind(resizers[i], i);
        wake_up_process(resizers[i]);
    }
    status = register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "bid_inode_torture");
    WRITE_ONCE(armed, 1);
    hpet_set(0, period);
    return status;
failed:
    inode_torture_free();
    return status;
}

static void __exit inode_torture_exit(void)
{
    struct bid_kernel_counts *counts = &bid_kernel_counts;
    int i;
    for (i = 0; i < ncpus; i++)
        kthread_stop(resizers[i]);
    WRITE_ONCE(armed, 0);
    hpet_unmap();
    unregister_nmi_handler(NMI_LOCAL, "bid_inode_torture");
    remove_proc_entry("bid_inodes", NULL);
    pr_info("bid_inode_torture: nmis=%lld interrupted=%lld looked=%lld right=%lld absent=%lld stale=%lld wrong=%lld\n",
            atomic64_read(&seen.nmis), atomic64_read(&seen.interrupted), atomic64_read(&seen.looked),
            atomic64_read(&seen.right), atomic64_read(&seen.absent), atomic64_read(&seen.stale),
            atomic64_read(&seen.wrong));
    pr_info("bid_inode_torture: associated=%lld mapped=%lld not_mapped=%lld kicked=%lld in_resize=%lld\n",
            atomic64_read(&counts->associated), atomic64_read(&counts->mapped), atomic64_read(&counts->not_mapped),
            atomic64_read(&counts->evicted), atomic64_read(&counts->in_resize));
    pr_info("bid_inode_torture: late=%lld left=%lld missed=%lu reused=%llu entries=%llu resizes=%llu\n",
            atomic64_read(&counts->late), atomic64_read(&counts->left), bid_kernel_missed(), reused,
            bid_count(bid_kernel_table()), bid_resizes(bid_kernel_table()));
    inode_torture_free();
}

module_init(inode_torture_init);
module_exit(inode_torture_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("Build IDs of real inodes under real NMIs");
