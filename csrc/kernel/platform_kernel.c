/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The platform of a kernel: memory, grace periods, and the module that exports the table.
 *
 * Memory comes from vmalloc(), present at once, for a kernel takes no page faults to fill it.
 *
 * Reclamation, by polled grace periods: nobody waits for one. One grace period of RCU and one of SRCU are under way
 * together, for all that was retired before they began; whoever comes next and finds both over says so, and begins the
 * next. What is retired meanwhile waits for that one: for two grace periods at the most.
 */
#include <linux/hardirq.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/vmalloc.h>

#include "bid/table.h"

#include "../table/pin.h"
#include "../table/platform.h"

/* ---------------------------------------------------------------------------------------------- memory -- */

size_t bid_platform_page(void)
{
    return PAGE_SIZE;
}

void *bid_platform_map(size_t bytes, size_t huge)
{
    gfp_t flags = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
    if (WARN_ON_ONCE(in_interrupt()))
        return NULL;
    return huge ? vmalloc_huge(bytes, flags) : __vmalloc(bytes, flags);
}

int bid_platform_populate(void *address, size_t bytes, int lock)
{
    return BID_OK; /* vmalloc() has, and nothing of a kernel is swapped out */
}

void bid_platform_no_collapse(void *address, size_t bytes)
{
}

void bid_platform_empty(void *address, size_t bytes)
{
}

#define BID_SMALL (1ul << 20)

int bid_platform_has(size_t bytes)
{
    return bytes < BID_SMALL || bytes >> PAGE_SHIFT < si_mem_available();
}

void bid_platform_unmap(void *address, size_t bytes)
{
    vfree(address);
}

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

/* Written by whoever has set `busy`, with preemption disabled. */
static struct {
    atomic_t busy;
    u64 over;    /* what has a lower epoch is free */
    u64 pending; /* what has a lower epoch waits for the two grace periods; 0: none is under way */
    unsigned long rcu, srcu;
} bid_grace;

static void bid_grace_end(void)
{
    if (!bid_grace.pending || !poll_state_synchronize_rcu(bid_grace.rcu) ||
        !poll_state_synchronize_srcu(&bid_updates, bid_grace.srcu))
        return;
    smp_store_release(&bid_grace.over, bid_grace.pending); /* pairs with bid_oldest_pin() */
    bid_grace.pending = 0;
}

/* The epoch is read first, so what it covers had been left when the grace periods began (E). */
static void bid_grace_begin(const struct bid_pins *pins)
{
    u64 epoch = bid_load(&pins->epoch, BID_E_ACQUIRE); /* (E) pairs with bid_epoch_pass() */
    if (bid_grace.pending || epoch == bid_grace.over)
        return;
    bid_grace.rcu = start_poll_synchronize_rcu();
    bid_grace.srcu = start_poll_synchronize_srcu(&bid_updates);
    bid_grace.pending = epoch;
}

/* (U) is the end of a grace period, which bid_grace_end() has seen; who finds another thread
 * here takes what was over. */
uint64_t bid_oldest_pin(const struct bid_pins *pins)
{
    preempt_disable();
    if (!atomic_xchg_acquire(&bid_grace.busy, 1)) { /* pairs with the release below */
        bid_grace_end();
        bid_grace_begin(pins);
        atomic_set_release(&bid_grace.busy, 0);
    }
    preempt_enable();
    return smp_load_acquire(&bid_grace.over); /* pairs with smp_store_release() in bid_grace_end() */
}

/* What membarrier() is for in a process, the grace period does. */
void bid_platform_barrier(const struct bid_pins *pins)
{
    smp_mb();
}

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
