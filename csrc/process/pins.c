/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The pins of this process: made at first use, kept across forks, and the barrier that the reclaimer pays for them.
 *
 * fork(): the pins lie in memory that a fork wipes, so that the parent's are not write-protected by it and the child
 * does not inherit the pins of threads that it does not have. The handlers here give the child its page and its own
 * pins back, for a fork may come from a handler that interrupted a lookup.
 */
#define _GNU_SOURCE
#include "pins.h"

#include "memory.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An area is made when the first table needs it, and stays. The thread that makes it publishes it whole, once. */
static struct bid_pins bid_process_pins[2] = {{.epoch = BID_PIN_EPOCH_FIRST},
                                              {.epoch = BID_PIN_EPOCH_FIRST, .fenced = 1}};

static struct bid_pin_area *bid_pin_area_published(int kind)
{
    return __atomic_load_n(&bid_process_pins[kind].area, __ATOMIC_ACQUIRE);
}

/* What the child of a fork gets back: a copy of the forking thread's own pins, made by that thread before the fork.
 * Ordinary memory. A slot belongs to one thread, so forks of several threads do not meet here. In a counter of
 * `overflow` they may meet. It counts in units of BID_FORK_ONE how many threads are between here and their fork. Below
 * that it holds the largest overflow that was seen since the last moment when there was none. A number that is too
 * large would keep the child from freeing; one that is too small would let it free too early.
 * A handler may fork while its thread is between here and a fork. The handler's child goes on with that fork, and
 * nobody is counted there any more; so the overflow stays there, for the children to come. */
static struct bid_pin_area bid_fork_saved[2];
#define BID_FORK_ONE (1ull << 32)

/* The thread that went on in this process, at its last fork, with pins among the overflow; 0: it had none. */
static uintptr_t bid_fork_from_overflow[2];

static int bid_membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

static int bid_membarrier_register(void)
{
    return bid_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

/* Where membarrier() has been taken away since, as by a seccomp filter, plain pins may not be seen. Then nothing may
 * ever be freed again: as if a reader without an epoch stayed among the overflow. */
void bid_platform_barrier(const struct bid_pins *pins)
{
    if (!pins->fenced && bid_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
        bid_add(&pins->area->overflow[0], 1, BID_RELAXED);
    atomic_thread_fence(BID_S_FENCE); /* (S) pairs with the barrier in bid_pin() and bid_pin_plain() */
}

static void bid_fork_copy(struct bid_pin_slot *to, const struct bid_pin_slot *from)
{
    bid_store(&to->word, bid_load(&from->word, BID_RELAXED), BID_RELAXED);
    bid_store(&to->owner, bid_load(&from->owner, BID_RELAXED), BID_RELAXED);
}

/* Copies the pin slots of this thread, and only those. Returns whether one of them is a slot for life. */
static int bid_fork_copy_own(struct bid_pin_area *to, struct bid_pin_area *from)
{
    int own = 0;
    for (unsigned i = 0; i < BID_PIN_SLOTS + BID_PIN_TEMPORARY; i++) {
        if (bid_load(&from->slots[i].owner, BID_RELAXED) != bid_platform_thread())
            continue;
        bid_fork_copy(&to->slots[i], &from->slots[i]);
        own |= i < BID_PIN_SLOTS;
    }
    return own;
}

/* Slots of an earlier fork, perhaps by a thread that is dead and had the same thread pointer. */
static void bid_fork_forget_own(struct bid_pin_area *saved)
{
    for (unsigned i = 0; i < BID_PIN_SLOTS + BID_PIN_TEMPORARY; i++) {
        uintptr_t own = bid_platform_thread(); /* other threads write slots of their own here */
        bid_cas(&saved->slots[i].owner, &own, 0, BID_RELAXED);
    }
}

/* Counts this thread among those that are about to fork. */
static void bid_fork_save_overflow(bid_word *saved, uint64_t overflow)
{
    uint64_t before = bid_load(saved, BID_RELAXED), after;
    do {
        uint64_t most = before % BID_FORK_ONE;
        after = before - most + BID_FORK_ONE + (before < BID_FORK_ONE || most < overflow ? overflow : most);
    } while (!bid_cas(saved, &before, after, BID_RELAXED));
}

/* In the child of a handler that forked since, this thread is not counted. */
static void bid_fork_uncount(bid_word *saved)
{
    uint64_t before = bid_load(saved, BID_RELAXED);
    while (before >= BID_FORK_ONE && !bid_cas(saved, &before, before - BID_FORK_ONE, BID_RELAXED))
        ;
}

static void bid_fork_prepare(void)
{
    uint64_t number = bid_pin_overflow(bid_platform_thread());
    for (int kind = 0; kind < 2; kind++) {
        struct bid_pin_area *area = bid_pin_area_published(kind), *saved = &bid_fork_saved[kind];
        bid_fork_forget_own(saved);
        if (area)
            bid_fork_copy_own(saved, area);
        bid_fork_save_overflow(&saved->overflow[number], area ? bid_load(&area->overflow[number], BID_RELAXED) : 0);
    }
}

static void bid_fork_parent(void)
{
    uint64_t number = bid_pin_overflow(bid_platform_thread());
    for (int kind = 0; kind < 2; kind++)
        bid_fork_uncount(&bid_fork_saved[kind].overflow[number]);
}

/* This thread is the only one, and what it goes on with has the pins that it had. With a slot for life it is among the
 * overflow only if it was when the process began: a child has room for all. */
static void bid_fork_restore(int kind, struct bid_pin_area *area, struct bid_pin_area *saved)
{
    uintptr_t thread = bid_platform_thread();
    uint64_t number = bid_pin_overflow(thread);
    uint64_t overflow = bid_load(&saved->overflow[number], BID_RELAXED) % BID_FORK_ONE;
    bid_platform_populate(area, sizeof *area, 0);
    if (bid_fork_copy_own(area, saved) && bid_fork_from_overflow[kind] != thread)
        overflow = 0;
    bid_store(&area->overflow[number], overflow, BID_RELAXED);
    bid_fork_from_overflow[kind] = overflow ? thread : 0;
}

/* Nobody else is about to fork here. The overflow stays, for this handler may be there twice, too. */
static void bid_fork_child(void)
{
    for (int kind = 0; kind < 2; kind++) {
        struct bid_pins *pins = &bid_process_pins[kind];
        struct bid_pin_area *area = bid_pin_area_published(kind), *saved = &bid_fork_saved[kind];
        if (area)
            bid_fork_restore(kind, area, saved);
        for (unsigned i = 0; i < BID_PIN_OVERFLOWS; i++)
            bid_store(&saved->overflow[i], bid_load(&saved->overflow[i], BID_RELAXED) % BID_FORK_ONE, BID_RELAXED);
        bid_store(&pins->forked, bid_epoch_pass(pins), BID_RELAXED);
        bid_add(&pins->forks, 1, BID_RELAXED);
    }
    bid_membarrier_register();
}

/* Before the first area is published. The handlers bear being there twice, which two threads that come first bring
 * about. */
static int bid_fork_handlers(void)
{
    static int registered;
    if (!__atomic_load_n(&registered, __ATOMIC_ACQUIRE) &&
        pthread_atfork(bid_fork_prepare, bid_fork_parent, bid_fork_child) == 0)
        __atomic_store_n(&registered, 1, __ATOMIC_RELEASE);
    return __atomic_load_n(&registered, __ATOMIC_ACQUIRE);
}

/* Memory that a fork wipes, present for writing. */
static int bid_pin_area_make(struct bid_pin_area **result)
{
    struct bid_pin_area *area = bid_fork_handlers() ? bid_platform_map(sizeof *area, 0) : NULL;
    if (!area)
        return BID_E_NO_MEMORY;
    int status = bid_platform_populate(area, sizeof *area, 0);
    if (status == BID_OK && madvise(area, sizeof *area, MADV_WIPEONFORK) != 0)
        status = errno == EINVAL ? BID_E_UNSUPPORTED : BID_E_NO_MEMORY;
    if (status == BID_OK)
        *result = area;
    else
        bid_platform_unmap(area, sizeof *area);
    return status;
}

static int bid_pin_area_publish(int kind)
{
    struct bid_pin_area *none = NULL, *area;
    int status = bid_pin_area_make(&area);
    if (status == BID_OK &&
        !__atomic_compare_exchange_n(&bid_process_pins[kind].area, &none, area, 0, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        bid_platform_unmap(area, sizeof *area); /* another thread's was first */
    return status;
}

int bid_platform_pins(int fenced, int lock, struct bid_pins **result)
{
    int kind = fenced || !bid_membarrier_register();
    int status = bid_pin_area_published(kind) ? BID_OK : bid_pin_area_publish(kind);
    *result = &bid_process_pins[kind];
    if (status == BID_OK && lock)
        status = bid_platform_populate((*result)->area, sizeof *(*result)->area, 1);
    return status == BID_OK && lock ? bid_platform_populate(bid_process_pins, sizeof bid_process_pins, 1) : status;
}
