/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Clock, processors, memory. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE (2ull << 20)

int bench_helper_cpu = -1;

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static uint64_t clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_now(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

uint64_t bench_thread_time(void)
{
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_cpu_time(void)
{
    return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_find_cpus(int cpus[2])
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        bench_die("sched_getaffinity: %s", strerror(errno));
    int found = 0;
    cpus[0] = cpus[1] = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            cpus[found++] = cpu;
}

void bench_pin_to(int cpu)
{
    cpu_set_t one;
    if (cpu < 0)
        return;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        bench_die("cannot pin a thread to processor %d: %s", cpu, strerror(errno));
}

/* read() into the stack: stdio would allocate, and so change what is measured. */
uint64_t bench_resident(void)
{
    char text[4096];
    int file = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length <= 0)
        bench_die("/proc/self/smaps_rollup: %s", strerror(errno));
    close(file);
    text[length] = '\0';
    const char *line = strstr(text, "\nAnonymous:");
    if (!line)
        bench_die("/proc/self/smaps_rollup has no line Anonymous");
    return strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024;
}

void *bench_map(size_t bytes, int huge)
{
    size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *memory = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_die("no memory: %zu bytes", bytes);
    size_t before = -(uintptr_t)memory & (HUGE_PAGE - 1);
    if (before)
        munmap(memory, before);
    munmap(memory + before + whole, HUGE_PAGE - before);
    madvise(memory + before, whole, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(memory + before, 1, bytes);
    return memory + before;
}

void *bench_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory)
        bench_die("no memory: %zu bytes", bytes);
    return memory;
}
