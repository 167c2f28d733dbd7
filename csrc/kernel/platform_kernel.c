/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The platform of a kernel: memory, grace periods, and the module that exports the table.
 *
 * Memory comes from vmalloc(). All of it is present at once, because a kernel does not fill memory by page faults.
 *
 * Reclamation is by polled grace periods, so no thread waits for one. One grace period of RCU and one of SRCU are under
 * way together, for all arrays that were retired before they began. The next caller that finds both over says so, and
 * begins the next pair. Arrays that are retired meanwhile wait for that pair: for two grace periods at the most.
 */
#include <linux/hardirq.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/vmalloc.h>

#include "../table/pin.h"
#include "../table/platform.h"
#include "../table/table.h"

/* ---------------------------------------------------------------------------------------------- memory -- */

size_t bid_platform_page(void)
{
    return PAGE_SIZE;
}

#define BID_SMALL (1ul << 20)

static void *bid_kernel_map(void *context, size_t bytes, size_t present, size_t huge)
{
    gfp_t flags = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
    if (WARN_ON_ONCE(in_interrupt()))
        return NULL;
    if (bytes >= BID_SMALL && bytes >> PAGE_SHIFT >= si_mem_available())
        return NULL;
    return huge ? vmalloc_huge(bytes, flags) : __vmalloc(bytes, flags);
}

static int bid_kernel_populate(void *context, void *address, size_t bytes, int lock)
{
    return BID_OK; /* vmalloc() has, and nothing of a kernel is swapped out */
}

static void bid_kernel_unmap(void *context, void **address, size_t bytes)
{
    vfree(*address);
    *address = NULL;
}

const struct bid_allocator bid_platform_allocator = {
    .map = bid_kernel_map, .populate = bid_kernel_populate, .unmap = bid_kernel_unmap};

uint64_t bid_platform_random(void)
{
    return get_random_u64();
}

/* ------------------------------------------------------------------------------------------------ pins -- */

DEFINE_STATIC_SRCU(bid_updates);

static struct bid_pin_area bid_area;
static struct bid_pins bid_pins = {.area = &bid_area, .epoch = {BID_PIN_EPOCH_FIRST}};

int bid_platform_pins(int fenced, int lock, struct bid_pins **pins)
{
    *pins = &bid_pins;
    return BID_OK;
}

struct bid_pin bid_pin_update(struct bid_pins *pins, int may_sleep)
{
    if (may_sleep)
        return (struct bid_pin){NULL, srcu_read_lock(&bid_updates)};
    return bid_pin(pins);
}

void bid_unpin_update(struct bid_pins *pins, struct bid_pin pin)
{
    if (pin.slot)
        bid_unpin(pins, pin);
    else
        srcu_read_unlock(&bid_updates, pin.before);
}

/* Written by the thread that has set `busy`, with preemption disabled. */
static struct {
    atomic_t busy;
    u64 over;    /* what has a lower epoch is free */
    u64 pending; /* what has a lower epoch waits for the two grace periods; 0: none is under way */
    unsigned long rcu, srcu;
} bid_grace;

static void bid_polled_end(void)
{
    if (!bid_grace.pending || !poll_state_synchronize_rcu(bid_grace.rcu) ||
        !poll_state_synchronize_srcu(&bid_updates, bid_grace.srcu))
        return;
    smp_store_release(&bid_grace.over, bid_grace.pending); /* pairs with bid_kernel_over() */
    bid_grace.pending = 0;
}

/* The epoch is read first, so the arrays that it covers had been left when the grace periods began (E). */
static void bid_polled_begin(const struct bid_pins *pins)
{
    u64 epoch = bid_load(&pins->epoch, BID_E_ACQUIRE); /* (E) pairs with bid_kernel_start() */
    if (bid_grace.pending || epoch == bid_grace.over)
        return;
    bid_grace.rcu = start_poll_synchronize_rcu();
    bid_grace.srcu = start_poll_synchronize_srcu(&bid_updates);
    bid_grace.pending = epoch;
}

/* What is retired now gets this epoch. */
static uint64_t bid_kernel_start(struct bid_table *table)
{
    return bid_add(&table->pins->epoch, 1, BID_E_RELEASE); /* (E) pairs with bid_polled_begin() */
}

/* (U) is the end of a grace period, which bid_polled_end() has seen. A caller that finds another thread here returns
 * the number that was over before. */
static uint64_t bid_kernel_over(struct bid_table *table)
{
    smp_mb(); /* what membarrier() is for in a process, the grace period does */
    preempt_disable();
    if (!atomic_xchg_acquire(&bid_grace.busy, 1)) { /* pairs with the release below */
        bid_polled_end();
        bid_polled_begin(table->pins);
        atomic_set_release(&bid_grace.busy, 0);
    }
    preempt_enable();
    return smp_load_acquire(&bid_grace.over); /* pairs with smp_store_release() in bid_polled_end() */
}

const struct bid_flavor bid_platform_flavor = {.start = bid_kernel_start, .over = bid_kernel_over};

/* ---------------------------------------------------------------------------------------------- module -- */

EXPORT_SYMBOL_GPL(bid_create);
EXPORT_SYMBOL_GPL(bid_destroy);
EXPORT_SYMBOL_GPL(bid_lookup);
EXPORT_SYMBOL_GPL(bid_lookup_generation);
EXPORT_SYMBOL_GPL(bid_lookup_cost);
EXPORT_SYMBOL_GPL(bid_lookup_many);
EXPORT_SYMBOL_GPL(bid_count);
EXPORT_SYMBOL_GPL(bid_resizing);
EXPORT_SYMBOL_GPL(bid_resizes);
EXPORT_SYMBOL_GPL(bid_insert);
EXPORT_SYMBOL_GPL(bid_insert_nmi);
EXPORT_SYMBOL_GPL(bid_insert_many);
EXPORT_SYMBOL_GPL(bid_replace);
EXPORT_SYMBOL_GPL(bid_upsert);
EXPORT_SYMBOL_GPL(bid_remove);
EXPORT_SYMBOL_GPL(bid_remove_nmi);
EXPORT_SYMBOL_GPL(bid_remove_generation);
EXPORT_SYMBOL_GPL(bid_reserve);
EXPORT_SYMBOL_GPL(bid_shrink);
EXPORT_SYMBOL_GPL(bid_reclaim);
EXPORT_SYMBOL_GPL(bid_iterate);
EXPORT_SYMBOL_GPL(bid_keys);
EXPORT_SYMBOL_GPL(bid_statistics);
EXPORT_SYMBOL_GPL(bid_status_name);
EXPORT_SYMBOL_GPL(bid_status_text);

static int __init bid_module_init(void)
{
    return 0;
}

/* Grace periods that nobody polls any more still use what is unloaded with the module. */
static void __exit bid_module_exit(void)
{
    synchronize_srcu(&bid_updates);
    srcu_barrier(&bid_updates);
}

module_init(bid_module_init);
module_exit(bid_module_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("Build IDs by inode, for readers in NMI context");
