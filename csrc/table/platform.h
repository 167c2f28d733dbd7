/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * All that differs between user space, a kernel and a model checker: memory, who the current thread is, and the
 * barrier that the reclaimer pays for the readers. The user-space side is platform_user.c.
 */
#ifndef BID_PLATFORM_H
#define BID_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

struct bid_pins;

#ifdef __KERNEL__
#include "inline_kernel.h"
#elif !defined(BID_PLATFORM_MODEL)

/* The thread pointer: unique among the living threads of a process, and known without a call or TLS. Never 0. */
static inline uintptr_t bid_platform_thread(void)
{
#if defined(__x86_64__)
    /* The first word of the thread control block is its own address (System V ABI, ELF TLS variant II). */
    uintptr_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return self;
#elif defined(__powerpc64__)
    /* Register 13 (64-bit ELF V2 ABI, thread-local storage); not every compiler has the builtin for it. */
    uintptr_t self;
    __asm__("mr %0, 13" : "=r"(self));
    return self;
#else
    return (uintptr_t)__builtin_thread_pointer();
#endif
}

/* Keeps the compiler from moving accesses across; costs no instruction. Pairs with bid_platform_barrier(). */
static inline void bid_platform_compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void bid_platform_prefetch(const void *address)
{
    __builtin_prefetch(address);
}

#else
uintptr_t bid_platform_thread(void);
void bid_platform_compiler_barrier(void);
void bid_platform_prefetch(const void *address);
#endif

/* Zeroed memory, reserved but not populated, aligned to a page. Its first `huge` bytes lie on huge pages where the
 * system gives them: then populating a part of such a page makes all of it present. NULL: none. */
void *bid_platform_map(size_t bytes, size_t huge);

/* Makes [address, address + bytes) present for writing, so that no later access faults; other threads may be using
 * it already. `lock` locks it too. Returns BID_OK, BID_E_NO_MEMORY or BID_E_MLOCK. */
int bid_platform_populate(void *address, size_t bytes, int lock);

/* Keeps khugepaged from collapsing this range into huge pages: a reader would fault meanwhile. Huge pages that are
 * there already lie wholly in it or not at all. */
void bid_platform_no_collapse(void *address, size_t bytes);

void bid_platform_unmap(void *address, size_t bytes);

/* Gives back the memory of a mapping, but not its addresses: until it is unmapped they are nobody else's. */
void bid_platform_empty(void *address, size_t bytes);

/* Whether the system can give so much memory, and the process not be killed for it. What is small is not asked about.
 * */
int bid_platform_has(size_t bytes);

/* The granularity of bid_platform_populate(): a power of two. */
size_t bid_platform_page(void);

/* The process's pins, made at first use: with membarrier() where the system has it, else fenced. `lock` locks them as
 * well, for good: readers write them. BID_OK, BID_E_NO_MEMORY, BID_E_MLOCK or BID_E_UNSUPPORTED. */
int bid_platform_pins(int fenced, int lock, struct bid_pins **pins);

/* On return every thread that is running has executed a full barrier since the call (membarrier()); for fenced pins a
 * full fence in the caller is enough. */
void bid_platform_barrier(const struct bid_pins *pins);

/* 64 bits that an adversary does not know. */
uint64_t bid_platform_random(void);

#endif
