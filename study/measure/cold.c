/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* See cold.h. */
#define _GNU_SOURCE
#include "cold.h"

#include "clock.h"

#include <string.h>

static int nothing(void *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    (void)table, (void)key, (void)id, (void)cost;
    return BID_OK;
}

static int load(void *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    (void)table, (void)id, (void)cost;
    (void)*(const volatile uint64_t *)(uintptr_t)key;
    return BID_OK;
}

const struct bid_design *cold_floor(int loads)
{
    static const struct bid_design one_load = {.name = "load", .lookup = load}, no_load = {.lookup = nothing};
    return loads ? &one_load : &no_load;
}

#if defined __x86_64__

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096ull
#define LINE 64
#define RANGES_MAX 4096
#define MAPS_MAX (1u << 20)

typedef int (*lookup_function)(void *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);

/* ----------------------------------------------------------------------------------------------- timing -- */

static void flush(const struct cold_pages *pages)
{
    for (uint32_t i = 0; i < pages->count; i++)
        for (uint64_t line = pages->page[i]; line < pages->page[i] + PAGE; line += LINE)
            _mm_clflush((const void *)(uintptr_t)line);
    _mm_mfence();
}

/* From before the first instruction of the call until its last load is there. */
static __attribute__((noinline)) uint64_t ticks_of(lookup_function lookup, void *table, uint64_t key,
                                                   struct bid_build_id *id, int *status)
{
    unsigned processor;
    _mm_lfence();
    uint64_t begin = __rdtsc();
    _mm_lfence();
    *status = lookup(table, key, id, NULL);
    _mm_lfence();
    return __rdtscp(&processor) - begin;
}

static int is_right(int status, const struct bid_build_id *id, uint64_t next)
{
    uint8_t expected[BID_ID_NARROW];
    timing_id(next, expected);
    return status == BID_OK && id->length == sizeof expected && memcmp(id->bytes, expected, sizeof expected) == 0;
}

int cold_hits(const struct cold_lookups *lookups, size_t first, size_t count, double *ns)
{
    struct bid_build_id id = {0};
    lookup_function lookup = lookups->design->lookup;
    int status, result = TIMING_OK;
    uint64_t begin_ns = now_ns(), begin = __rdtsc();
    for (size_t i = 0, at = first; i < count; i++, at++) {
        uint64_t key = lookups->keys[at], other = lookups->keys[(at + 1) % lookups->n];
        ticks_of(lookup, lookups->table, other, &id, &status); /* fetches the code, and trains branches for a hit */
        if (lookups->pages)
            flush(&lookups->pages[at]);
        ns[i] = (double)ticks_of(lookup, lookups->table, key, &id, &status);
        if (lookups->next && !is_right(status, &id, lookups->next[at]))
            result = TIMING_WRONG;
    }
    uint64_t ticks = __rdtsc() - begin;
    double ns_a_tick = (double)(now_ns() - begin_ns) / (double)ticks; /* the counter's rate is constant */
    for (size_t i = 0; i < count; i++)
        ns[i] *= ns_a_tick;
    return result;
}

/* ------------------------------------------------------------------------------------ the child that traces -- */

struct range {
    uint64_t begin, end;
    int protection;
};

/* Shared with the parent, so no data of the child's own: it stays accessible, as does the stack. */
struct trace {
    struct cold_pages *current; /* of the lookup at hand */
    struct range thread;        /* what every lookup is taken to read */
    size_t count;
    struct range range[RANGES_MAX]; /* the data, in order */
    char maps[MAPS_MAX];            /* the text of /proc/self/maps */
    struct cold_pages pages[];
};

/* The handler's own data: on a page that stays accessible. */
static _Alignas(4096) union {
    struct trace *trace;
    char page[PAGE];
} own;

/* As a system call of its own: mprotect() of the C library is called through data. */
static long protect(uint64_t begin, uint64_t end, long protection)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_mprotect), "D"(begin), "S"(end - begin), "d"(protection)
                     : "rcx", "r11", "memory");
    return result;
}

static const struct range *range_of(const struct trace *trace, uint64_t address)
{
    for (size_t i = 0; i < trace->count; i++)
        if (address - trace->range[i].begin < trace->range[i].end - trace->range[i].begin)
            return &trace->range[i];
    return NULL;
}

/* A page was inaccessible: from now on it is as it was. Any other fault comes again, without a handler. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct trace *trace = own.trace;
    uint64_t page = (uint64_t)(uintptr_t)info->si_addr & ~(PAGE - 1);
    const struct range *range = range_of(trace, page);
    (void)context;
    if (!range) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(signal, &usual, NULL);
        return;
    }
    struct cold_pages *pages = trace->current;
    if (pages && pages->count < COLD_PAGES_MAX)
        pages->page[pages->count++] = page;
    protect(page, page + PAGE, range->protection);
}

static void add_range(struct trace *trace, uint64_t begin, uint64_t end, int protection)
{
    if (begin < end && trace->count < RANGES_MAX)
        trace->range[trace->count++] = (struct range){begin, end, protection};
}

/* All but [from, to), which begins in the range. */
static void add_without(struct trace *trace, struct range range, uint64_t from, uint64_t to)
{
    add_range(trace, range.begin, from, range.protection);
    add_range(trace, to, range.end, range.protection);
}

/* The thread's control block, with what the kernel itself writes at a preemption (rseq): always accessible. */
static struct range thread_block(uint64_t end_of_range)
{
    uint64_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    uint64_t begin = self & ~(PAGE - 1), end = begin + 2 * PAGE;
    return (struct range){begin, end < end_of_range ? end : end_of_range, 0};
}

/* Private, readable, no code, not the stack. */
static void take_line(struct trace *trace, const char *line, uint64_t stack)
{
    char *rest;
    struct range range = {.begin = strtoull(line, &rest, 16)};
    range.end = strtoull(rest + 1, &rest, 16);
    const char *rights = rest + 1, *kernel = strstr(line, "[v"), *newline = strchr(line, '\n');
    if (rights[0] != 'r' || rights[2] == 'x' || rights[3] != 'p' || (kernel && kernel < newline) ||
        (range.begin <= stack && stack < range.end))
        return;
    range.protection = PROT_READ | (rights[1] == 'w' ? PROT_WRITE : 0);
    uint64_t self = (uint64_t)(uintptr_t)&own;
    struct range thread = thread_block(range.end);
    if (range.begin <= self && self < range.end) {
        add_without(trace, range, self, self + PAGE);
    } else if (range.begin <= thread.begin && thread.begin < range.end) {
        trace->thread = thread;
        add_without(trace, range, thread.begin, thread.end);
    } else {
        add_range(trace, range.begin, range.end, range.protection);
    }
}

static int read_ranges(struct trace *trace)
{
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got;
    while (file >= 0 && (got = read(file, trace->maps + length, MAPS_MAX - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    for (const char *line = trace->maps, *end; (end = strchr(line, '\n')); line = end + 1)
        take_line(trace, line, (uint64_t)(uintptr_t)&line);
    return length > 0 && length < MAPS_MAX - 1 && trace->count < RANGES_MAX;
}

static void hide_again(const struct cold_pages *pages)
{
    for (uint32_t i = 0; i < pages->count; i++)
        protect(pages->page[i], pages->page[i] + PAGE, PROT_NONE);
}

static void look_up_hidden(const struct cold_lookups *one, const uint64_t *keys, struct trace *trace,
                           struct cold_pages *pages)
{
    lookup_function lookup = one->design->lookup;
    void *table = one->table;
    size_t n = one->n;
    for (size_t i = 0; i < trace->count; i++)
        protect(trace->range[i].begin, trace->range[i].end, PROT_NONE);
    for (size_t i = 0; i < n; i++) {
        struct bid_build_id id;
        trace->current = &pages[i];
        lookup(table, keys[i], &id, NULL);
        trace->current = NULL;
        hide_again(&pages[i]);
    }
    for (size_t i = 0; i < trace->count; i++)
        protect(trace->range[i].begin, trace->range[i].end, trace->range[i].protection);
}

/* Behind struct trace: the pages of all lookups, then their keys, for reading those from data would count as well. */
static _Noreturn void trace_child(const struct cold_lookups *lookups, size_t tables, size_t all, struct trace *trace)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct cold_pages *pages = trace->pages;
    uint64_t *keys = (uint64_t *)&trace->pages[all];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    own.trace = trace;
    if (!read_ranges(trace) || sigaction(SIGSEGV, &action, NULL))
        _exit(1);
    for (size_t i = 0; i < tables; i++) {
        memcpy(keys, lookups[i].keys, lookups[i].n * sizeof *keys);
        look_up_hidden(&lookups[i], keys, trace, pages);
        pages += lookups[i].n;
        keys += lookups[i].n;
    }
    _exit(0);
}

static void take_pages(const struct cold_lookups *one, const struct cold_pages *found, struct range thread)
{
    for (size_t i = 0; i < one->n; i++) {
        struct cold_pages *pages = &one->pages[i];
        *pages = found[i];
        for (uint64_t page = thread.begin; page < thread.end && pages->count < COLD_PAGES_MAX; page += PAGE)
            pages->page[pages->count++] = page;
    }
}

int cold_trace(const struct cold_lookups *lookups, size_t tables)
{
    size_t all = 0;
    for (size_t i = 0; i < tables; i++)
        all += lookups[i].n;
    size_t bytes = sizeof(struct trace) + all * (sizeof(struct cold_pages) + sizeof(uint64_t));
    struct trace *trace = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int state;
    if (trace == MAP_FAILED)
        return TIMING_MEMORY;
    pid_t pid = (pid_t)syscall(SYS_fork); /* fork() would run handlers, and liburcu's makes threads in the child */
    if (pid == 0)
        trace_child(lookups, tables, all, trace);
    int ok = pid > 0 && waitpid(pid, &state, 0) == pid && state == 0;
    for (size_t i = 0, at = 0; i < tables; at += lookups[i++].n)
        take_pages(&lookups[i], &trace->pages[at], trace->thread);
    munmap(trace, bytes);
    return ok ? TIMING_OK : TIMING_FAILED;
}

#else

int cold_trace(const struct cold_lookups *lookups, size_t tables)
{
    (void)lookups, (void)tables;
    return TIMING_UNSUPPORTED;
}

int cold_hits(const struct cold_lookups *lookups, size_t first, size_t count, double *ns)
{
    (void)lookups, (void)first, (void)count, (void)ns;
    return TIMING_UNSUPPORTED;
}

#endif
