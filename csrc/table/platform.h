/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a home gives to the tables in it: a process (../process), a kernel (../kernel), a model checker (tests/models).
 * With pin.h this is all that differs between them.
 */
#ifndef BID_PLATFORM_H
#define BID_PLATFORM_H

#include "bid/table.h"

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

/* The memory of tables that are given no other allocator; and the grace periods of those that are given no flavor. */
extern const struct bid_allocator bid_platform_allocator;
extern const struct bid_flavor bid_platform_flavor;

/* The granularity of populating: a power of two. */
size_t bid_platform_page(void);

/* The pins of a table's readers here. In a process they are made at first use: with membarrier() where the system has
 * it, else fenced. `lock` locks them as well, for good: readers write them. BID_OK, BID_E_NO_MEMORY, BID_E_MLOCK or
 * BID_E_UNSUPPORTED. */
int bid_platform_pins(int fenced, int lock, struct bid_pins **pins);

/* 64 bits that an adversary does not know. */
uint64_t bid_platform_random(void);

#endif
