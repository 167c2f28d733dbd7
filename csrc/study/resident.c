/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "resident.h"

#include "timing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define ID_BYTES 20
#define SEED 2023

struct answer {
    uint64_t bytes, allocated;
    int status;
};

/* Free pages go back to the kernel, so that what the child allocates next counts, and what it has freed does not. */
static void trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#if defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2
#endif
#endif

#ifdef HAVE_MALLINFO2
#define MATTERS 1024

/* In free blocks, but for the end of the heap, which trim() gives back. */
static size_t free_bytes(void)
{
    struct mallinfo2 now = mallinfo2();
    return now.fordblks > now.keepcost ? now.fordblks - now.keepcost : 0;
}
#endif

/* Takes every free block that the allocator has kept from the parent's life, or the design would get those for nothing.
 * Nothing gives them back: the child ends. Without glibc 2.33 small designs seem smaller, by what the parent freed. */
static void take_free_blocks(void)
{
#ifdef HAVE_MALLINFO2
    void *volatile block;                            /* volatile: the allocation is the purpose */
    for (size_t size = 24; size <= 1032; size += 16) /* what malloc() caches for each thread: seven of each size */
        for (int i = 0; i < 7; i++)
            block = malloc(size);
    /* Until there is no less of it any more: what is left belongs to other threads' arenas. */
    for (size_t left = free_bytes(), last = left + MATTERS; left + MATTERS <= last;) {
        for (size_t bytes = left; bytes >= 32; bytes -= 32)
            block = malloc(24);
        last = left;
        left = free_bytes();
    }
    (void)block;
#endif
}

/* Anonymous resident memory; read() into the stack, because stdio would allocate. 0: it cannot be read. */
static uint64_t resident(void)
{
    char text[4096];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "\nAnonymous:");
    return line ? strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024 : 0;
}

static int fill(const struct bid_design *design, void *table, const uint64_t *keys, size_t n)
{
    uint8_t id[ID_BYTES] = {1};
    for (size_t i = 0; i < n; i++) {
        memcpy(id + 1, &keys[i], sizeof keys[i]);
        if (design->insert(table, keys[i], 0, id, sizeof id) != BID_OK)
            return BID_RESIDENT_E_INSERT;
    }
    if (design->reclaim)
        design->reclaim(table);
    if (design->settle)
        design->settle(table);
    return BID_RESIDENT_OK;
}

/* The objects that the keys name are there before anything is counted. NULL: no memory. */
static void *create_objects(const struct bid_design *design, uint64_t *keys, size_t n)
{
    void *table = design->create(0, SEED);
    return table && timing_objects(design, table, keys, n) == TIMING_OK ? table : NULL;
}

static struct answer measure(const struct bid_design *design, uint64_t expected, uint64_t *keys, size_t n)
{
    struct answer answer = {.status = BID_RESIDENT_E_SMAPS};
    void *table = design->object ? create_objects(design, keys, n) : NULL;
    take_free_blocks();
    trim();
    uint64_t allocated = timing_allocated(), before = resident();
    if (!before)
        return answer;
    if (!design->object)
        table = design->create(expected, SEED);
    answer.status = table ? fill(design, table, keys, n) : BID_RESIDENT_E_CREATE;
    if (answer.status != BID_RESIDENT_OK)
        return answer;
    trim();
    uint64_t after = resident(), mapped = design->mapped_bytes ? design->mapped_bytes(table) : 0;
    answer.allocated = timing_allocated() - allocated + mapped;
    answer.bytes = (after > before ? after - before : 0) + (design->object ? mapped : 0);
    return answer;
}

int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes,
                 uint64_t *allocated)
{
    struct answer answer;
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return BID_RESIDENT_E_SYSTEM;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);                        /* a design that hangs is not to stay behind */
        answer = measure(design, expected, (uint64_t *)keys, n); /* what it writes is its own copy */
        _exit(write(ends[1], &answer, sizeof answer) != sizeof answer);
    }
    close(ends[1]);
    ssize_t length = child < 0 ? -1 : read(ends[0], &answer, sizeof answer);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || length != sizeof answer)
        return BID_RESIDENT_E_SYSTEM;
    *bytes = answer.bytes;
    if (allocated)
        *allocated = answer.allocated;
    return answer.status;
}

/* ------------------------------------------------------------------------------------------------ cycle -- */

/* A resize is seen by resizing() after each insert, which helps with a few buckets of it. */
static int find_cycle(const struct bid_design *design, void *table, uint64_t entries, const uint64_t *keys, size_t n,
                      uint64_t *after, uint64_t *before)
{
    uint8_t id[ID_BYTES] = {1};
    int was_resizing = 0;
    *after = 0;
    for (size_t i = 0; i < n; i++) {
        if (design->insert(table, keys[i], 0, id, sizeof id) != BID_OK)
            return BID_RESIDENT_E_INSERT;
        int resizing = design->resizing(table);
        if (was_resizing && !resizing)
            *after = i + 1;
        if (!was_resizing && resizing && *after && i >= entries) {
            *before = i;
            return BID_RESIDENT_OK;
        }
        was_resizing = resizing;
    }
    return BID_RESIDENT_E_INSERT;
}

int bid_resident_cycle(const struct bid_design *design, uint64_t entries, const uint64_t *keys, size_t n,
                       uint64_t *after, uint64_t *before)
{
    void *table = design->create(0, SEED);
    if (!table)
        return BID_RESIDENT_E_CREATE;
    int status = find_cycle(design, table, entries, keys, n, after, before);
    design->destroy(table);
    return status;
}
