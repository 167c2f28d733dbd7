/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A kernel without MADV_POPULATE_WRITE (before Linux 5.14): memory is made present by touching it, and neither
 * lookups nor the forms for NMI context take a page fault. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define ENTRIES 20000
#define THREADS 64

static int refused;

/* In the place of libc's. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice != MADV_POPULATE_WRITE)
        return (int)syscall(SYS_madvise, address, bytes, advice);
    refused++;
    errno = EINVAL;
    return -1;
}

static struct bid_table *table;

static long page_faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

/* What the caller needs: its stack, and the code. */
static __attribute__((noinline)) void warm_up(void)
{
    volatile char stack[16 << 10];
    struct bid_build_id id;
    for (unsigned i = 0; i < sizeof stack; i += 512)
        stack[i] = 1;
    bid_lookup(table, inode_key(0), &id);
    bid_insert_nmi(table, inode_key(0), 1, "", 0);
    page_faults();
}

/* Its first lookup claims a slot for pins, which may lie on a page that no thread has used yet. */
static void *first_lookup(void *argument)
{
    struct bid_build_id id;
    volatile char stack[4096];
    for (unsigned i = 0; i < sizeof stack; i += 512)
        stack[i] = 1;
    page_faults();
    long before = page_faults();
    int status = bid_lookup(table, inode_key(0), &id);
    CHECK(page_faults() == before);
    CHECK_STATUS(status, BID_OK);
    pthread_barrier_wait(argument); /* so that each has a thread pointer of its own */
    return NULL;
}

static void first_lookups(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_t all;
    CHECK(pthread_barrier_init(&all, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, first_lookup, &all) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void reserved_room(void)
{
    uint8_t id[20] = {1};
    CHECK_STATUS(bid_reserve(table, ENTRIES), BID_OK);
    warm_up();
    long before = page_faults();
    int right = 1;
    for (uint64_t i = 1; i < ENTRIES; i++)
        right &= bid_insert_nmi(table, inode_key(i), 1, id, sizeof id) == BID_OK;
    long after = page_faults();
    CHECK(right && after == before);
}

int main(void)
{
    table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, inode_key(0), 1, 20), BID_OK);
    warm_up();
    first_lookups();
    reserved_room();
    CHECK(refused > 3);
    bid_destroy(table);
    return 0;
}
