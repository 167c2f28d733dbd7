/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "resident.h"

#include "timing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define ID_BYTES 20
#define SEED 2023

#define LOOKS 64 /* at the memory of a table that grows, in the time in which it gets a sixteenth larger */

struct task {
    const struct bid_design *design;
    uint64_t expected; /* or, of a cycle, the entries that lie in it */
    uint64_t *keys;
    size_t n;
};

struct answer {
    uint64_t bytes, allocated;
    uint64_t after, before; /* of a cycle */
    double most;
    int status;
};

#if defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2
#endif
#endif

/* The end of the heap, of which malloc_trim() gives back huge pages as a whole alone where malloc() asks for those. */
static void give_back_end(void)
{
#ifdef HAVE_MALLINFO2
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = mallinfo2().keepcost;
    char *block = end > 3 * page ? malloc(end - page) : NULL;
    if (block) {
        uintptr_t first = ((uintptr_t)block + page) & ~(page - 1);
        madvise((void *)first, (end - 2 * page) & ~(page - 1), MADV_DONTNEED);
    }
    free(block);
#endif
}

/* Free pages go back to the kernel, so that what the child allocates next counts, and what it has freed does not. */
static void trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    give_back_end();
}

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

static int insert(const struct bid_design *design, void *table, uint64_t key)
{
    uint8_t id[ID_BYTES] = {1};
    memcpy(id + 1, &key, sizeof key);
    return design->insert(table, key, 0, id, sizeof id) == BID_OK ? BID_RESIDENT_OK : BID_RESIDENT_E_INSERT;
}

static int fill(const struct bid_design *design, void *table, const uint64_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (insert(design, table, keys[i]) != BID_RESIDENT_OK)
            return BID_RESIDENT_E_INSERT;
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

/* Where malloc() asks for huge pages (GLIBC_TUNABLES=glibc.malloc.hugetlb=1) memory would come two megabytes at a time.
 * Ours asks for them itself, in any process: they count. */
static void small_pages_for_malloc(const struct bid_design *design)
{
    int asks_itself = design->mapped_bytes && !design->object;
    if (!asks_itself)
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

static struct answer measure(const struct task *task)
{
    const struct bid_design *design = task->design;
    struct answer answer = {.status = BID_RESIDENT_E_SMAPS};
    void *table = design->object ? create_objects(design, task->keys, task->n) : NULL;
    small_pages_for_malloc(design); /* but for objects */
    take_free_blocks();
    trim();
    uint64_t allocated = timing_allocated(), before = resident();
    if (!before)
        return answer;
    if (!design->object)
        table = design->create(task->expected, SEED);
    answer.status = table ? fill(design, table, task->keys, task->n) : BID_RESIDENT_E_CREATE;
    if (answer.status != BID_RESIDENT_OK)
        return answer;
    trim();
    uint64_t after = resident(), mapped = design->mapped_bytes ? design->mapped_bytes(table) : 0;
    answer.allocated = timing_allocated() - allocated + mapped;
    answer.bytes = (after > before ? after - before : 0) + (design->object ? mapped : 0);
    return answer;
}

static int in_child(struct answer (*work)(const struct task *), const struct task *task, struct answer *answer)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return BID_RESIDENT_E_SYSTEM;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a design that hangs is not to stay behind */
        *answer = work(task);             /* the keys that it writes are its own copy */
        _exit(write(ends[1], answer, sizeof *answer) != sizeof *answer);
    }
    close(ends[1]);
    ssize_t length = child < 0 ? -1 : read(ends[0], answer, sizeof *answer);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || length != sizeof *answer)
        return BID_RESIDENT_E_SYSTEM;
    return answer->status;
}

int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes,
                 uint64_t *allocated)
{
    struct answer answer = {0};
    int status = in_child(measure, &(struct task){design, expected, (uint64_t *)keys, n}, &answer);
    *bytes = answer.bytes;
    if (allocated)
        *allocated = answer.allocated;
    return status;
}

/* ------------------------------------------------------------------------------------------------ cycle -- */

/* A resize is seen by resizing() after each insert, which helps with a few buckets of it. */
static int find_cycle(const struct task *task, void *table, struct answer *answer)
{
    const struct bid_design *design = task->design;
    int was_resizing = 0;
    for (size_t i = 0; i < task->n; i++) {
        if (insert(design, table, task->keys[i]) != BID_RESIDENT_OK)
            return BID_RESIDENT_E_INSERT;
        int resizing = design->resizing(table);
        if (was_resizing && !resizing)
            answer->after = i + 1;
        if (!was_resizing && resizing && answer->after && i >= task->expected) {
            answer->before = i;
            return BID_RESIDENT_OK;
        }
        was_resizing = resizing;
    }
    return BID_RESIDENT_E_INSERT;
}

/* Goes on from where find_cycle() ended, to the end of that resize. base: resident bytes without the table. */
static int look_while_it_grows(const struct task *task, void *table, uint64_t base, struct answer *answer)
{
    size_t step = answer->before / 16 / LOOKS + 1;
    for (size_t i = answer->before + 1; i < task->n && task->design->resizing(table); i++) {
        if ((i - answer->before - 1) % step == 0) {
            double now = (double)(resident() - base) / (double)i;
            answer->most = now > answer->most ? now : answer->most;
        }
        if (insert(task->design, table, task->keys[i]) != BID_RESIDENT_OK)
            return BID_RESIDENT_E_INSERT;
    }
    return BID_RESIDENT_OK;
}

static struct answer measure_cycle(const struct task *task)
{
    struct answer answer = {.status = BID_RESIDENT_E_SMAPS};
    take_free_blocks();
    trim();
    uint64_t base = resident();
    if (!base)
        return answer;
    void *table = task->design->create(0, SEED);
    answer.status = table ? find_cycle(task, table, &answer) : BID_RESIDENT_E_CREATE;
    if (answer.status == BID_RESIDENT_OK)
        answer.status = look_while_it_grows(task, table, base, &answer);
    return answer;
}

int bid_resident_cycle(const struct bid_design *design, uint64_t entries, const uint64_t *keys, size_t n,
                       uint64_t *after, uint64_t *before, double *most)
{
    struct answer answer = {0};
    int status = in_child(measure_cycle, &(struct task){design, entries, (uint64_t *)keys, n}, &answer);
    *after = answer.after;
    *before = answer.before;
    *most = answer.most;
    return status;
}
