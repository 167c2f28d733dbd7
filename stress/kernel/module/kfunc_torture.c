/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a BPF program attaches to: bid_probe() is called by an NMI handler, with the inode of the program that the NMI
 * interrupted. A write to /proc/bid_kfunc brings so many NMIs to this processor.
 */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>

#include <asm/apic.h>
#include <asm/nmi.h>

static unsigned long nmis, called;
int bid_probe(struct inode *inode);

noinline __used int bid_probe(struct inode *inode)
{
    barrier();
    return inode != NULL;
}

static int nmi_handler(unsigned int command, struct pt_regs *regs)
{
    struct mm_struct *mm = current->flags & PF_KTHREAD ? NULL : current->mm;
    struct file *file = mm ? rcu_dereference_raw(mm->exe_file) : NULL;
    nmis++;
    if (file && in_nmi())
        called += bid_probe(file_inode(file));
    return NMI_HANDLED;
}

static ssize_t send(struct file *unused, const char __user *buffer, size_t length, loff_t *offset)
{
    unsigned int n;
    int status = kstrtouint_from_user(buffer, length, 0, &n);
    if (status)
        return status;
    while (n--)
        apic->send_IPI_mask(cpumask_of(raw_smp_processor_id()), NMI_VECTOR);
    return length;
}

static const struct proc_ops send_ops = {.proc_write = send};

static int __init kfunc_torture_init(void)
{
    if (!proc_create("bid_kfunc", 0600, NULL, &send_ops))
        return -ENOMEM;
    return register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "bid_kfunc_torture");
}

static void __exit kfunc_torture_exit(void)
{
    unregister_nmi_handler(NMI_LOCAL, "bid_kfunc_torture");
    remove_proc_entry("bid_kfunc", NULL);
    pr_info("bid_kfunc_torture: nmis=%lu called=%lu\n", nmis, called);
}

module_init(kfunc_torture_init);
module_exit(kfunc_torture_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("A function that NMI handlers call, for BPF programs");
