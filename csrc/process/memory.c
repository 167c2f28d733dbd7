/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Memory of a process on Linux: mappings that are made present before a lookup comes to them, and stay so.
 */
#define _GNU_SOURCE
#include "memory.h"

#include "../table/platform.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define BID_HUGE_PAGE (2ull << 20)

size_t bid_platform_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *bid_map_plain(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Prevents khugepaged from collapsing this range into huge pages: a reader would fault meanwhile. */
static void bid_no_collapse(void *address, size_t bytes)
{
    if (bytes)
        madvise(address, bytes, MADV_NOHUGEPAGE); /* refused by kernels that have no huge pages */
}

/* Maps more than needed and gives the ends back; NULL also if there is just no room for more than needed. */
static void *bid_map_huge(size_t bytes, size_t huge)
{
    size_t page = bid_platform_page();
    bytes = (bytes + page - 1) / page * page;
    char *memory = bid_map_plain(bytes + BID_HUGE_PAGE);
    if (!memory)
        return NULL;
    size_t before = -(uintptr_t)memory & (BID_HUGE_PAGE - 1);
    if (before)
        munmap(memory, before);
    munmap(memory + before + bytes, BID_HUGE_PAGE - before);
    madvise(memory + before, huge, MADV_HUGEPAGE); /* advice: small pages do as well */
    bid_no_collapse(memory + before + huge, bytes - huge);
    return memory + before;
}

void *bid_platform_map(size_t bytes, size_t huge)
{
    void *memory = huge ? bid_map_huge(bytes, huge) : NULL;
    if (memory)
        return memory;
    memory = bid_map_plain(bytes);
    if (memory) /* else, where all memory has huge pages, populating one page makes 2 MB present */
        bid_no_collapse(memory, bytes);
    return memory;
}

static void bid_empty(void *address, size_t bytes)
{
    if (madvise(address, bytes, MADV_DONTNEED) != 0 && munlock(address, bytes) == 0) /* refused where it is locked */
        madvise(address, bytes, MADV_DONTNEED);
}

/* The kernel joins neighbouring mappings, so to unmap may take one more than a process may have (vm.max_map_count).
 * Then the addresses are lost, but not the memory. */
void bid_platform_unmap(void *address, size_t bytes)
{
    if (munmap(address, bytes) != 0)
        bid_empty(address, bytes);
}

/* For kernels without MADV_POPULATE_WRITE: a write to each page that changes nothing, also where others are writing.
 * `nothing` is volatile because a compiler that knew its value might make a mere load of it all. */
static void bid_touch(char *address, size_t bytes)
{
    volatile char nothing = 0;
    for (size_t offset = 0; offset < bytes; offset += bid_platform_page())
        __atomic_fetch_or(address + offset, nothing, __ATOMIC_RELAXED);
}

/* Huge pages that it made present are kept whole, and small ones small: those that lie wholly in what is present. */
static void bid_keep_pages(uintptr_t first, size_t bytes)
{
    uintptr_t start = (first + BID_HUGE_PAGE - 1) & -BID_HUGE_PAGE, end = (first + bytes) & -BID_HUGE_PAGE;
    if (start < end)
        bid_no_collapse((void *)start, end - start);
}

int bid_platform_populate(void *address, size_t bytes, int lock)
{
    if (!bytes)
        return BID_OK;
    char *first = (char *)((uintptr_t)address & ~(uintptr_t)(bid_platform_page() - 1));
    bytes += (size_t)((char *)address - first);
    if (lock && mlock(first, bytes) != 0)
        return BID_E_MLOCK;
    if (madvise(first, bytes, MADV_POPULATE_WRITE) != 0) {
        if (errno != EINVAL)
            return BID_E_NO_MEMORY;
        bid_touch(first, bytes);
    }
    bid_keep_pages((uintptr_t)first, bytes);
    return BID_OK;
}

/* ------------------------------------------------------------------------------------------- allocator -- */

static void *bid_process_map(void *context, size_t bytes, size_t present, size_t huge)
{
    (void)context;
    return bid_platform_has(present) ? bid_platform_map(bytes, huge) : NULL;
}

static int bid_process_populate(void *context, void *address, size_t bytes, int lock)
{
    (void)context;
    return bid_platform_populate(address, bytes, lock);
}

static void bid_process_unmap(void *context, void **address, size_t bytes)
{
    void *memory = *address;
    (void)context;
    bid_empty(memory, bytes);
    *address = NULL;
    bid_platform_unmap(memory, bytes);
}

const struct bid_allocator bid_platform_allocator = {
    .map = bid_process_map, .populate = bid_process_populate, .unmap = bid_process_unmap};

uint64_t bid_platform_random(void)
{
    uint64_t seed;
    if (syscall(SYS_getrandom, &seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) /* libc's is a cancellation point */
        return seed;
    struct timespec now; /* early in the boot, before the pool is ready */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uintptr_t)&seed;
}
