/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Programs whose frame pointers lead somewhere else than to frames, for a profiler that follows them: each has to run to
 * its end. `spin` runs with a frame pointer of the caller's choice.
 */
#define _GNU_SOURCE
#include "program.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE 4096
#define STACK (16 * PAGE)
#define TURNS 1500

/* A few microseconds in which the frame pointer is `pointer`. */
static void spin(uintptr_t pointer)
{
#if defined(__x86_64__)
    __asm__ volatile("push %%rbp\n\tmov %0, %%rbp\n\tmov $5000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b\n\tpop %%rbp"
                     :
                     : "r"(pointer)
                     : "rcx", "cc", "memory");
#else
    for (volatile unsigned n = 0; n < 5000 + (pointer == 1); n++)
        ;
#endif
}

static uintptr_t here(void)
{
    volatile char local;
    return (uintptr_t)&local & ~(uintptr_t)15;
}

/* Frame pointers of every kind, for so many milliseconds. */
static void spin_with_any(int milliseconds)
{
    static uint64_t false_frame[4];
    struct timespec from, now;
    uintptr_t sp = here(), hole = (uintptr_t)mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t any[] = {
        0,         1,         7,       ~0ull,     ~15ull,         0x8000000000000000u, 0x7fffffffe000u,
        sp - 8192, sp - 16,   sp,      sp + 8,    sp + 13,        sp + 4096,           sp + 65536,
        hole,      hole + 16, sp ^ 48, sp + 1024, sp + (1 << 20), (uintptr_t)spin,     (uintptr_t)false_frame};
    false_frame[0] = hole; /* a chain that leads there */
    false_frame[1] = (uintptr_t)spin + 4;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do {
        for (unsigned i = 0; i < sizeof any / sizeof any[0]; i++)
            spin(any[i]);
        for (uintptr_t up = sp; up < sp + 2048; up += 64)
            spin(up);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < milliseconds);
}

static int part_corrupt(char **arguments)
{
    spin_with_any(400);
    say("corrupt\n");
    return 0;
}

static void *in_thread(void *nothing)
{
    spin_with_any(250);
    return nothing;
}

static int part_threads(char **arguments)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, in_thread, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    say("threads\n");
    return 0;
}

/* ------------------------------------------------------------------------------------------- coroutines -- */

static ucontext_t scheduler, coroutine;
static uintptr_t neighbour; /* what comes and goes right above the coroutine's stack */

static void in_coroutine(void)
{
    for (int i = 0; i < TURNS; i++) {
        for (uintptr_t at = 0; at < 4 * PAGE; at += PAGE / 2)
            spin(neighbour + at);
        for (uintptr_t up = here(); up < neighbour; up += 512)
            spin(up);
        swapcontext(&coroutine, &scheduler);
    }
}

/* Memory without guards: the coroutine's stack, and above it what another thread maps and unmaps. */
static void *come_and_go(void *end)
{
    while (!*(volatile int *)end) {
        mmap((void *)neighbour, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memset((void *)neighbour, 0x7f, 4 * PAGE);
        munmap((void *)neighbour, 4 * PAGE);
    }
    return NULL;
}

static int run_coroutine(void)
{
    pthread_t other;
    static int end;
    char *memory = mmap(NULL, STACK + 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *stack = memory + PAGE; /* above a guard, as a thread's */
    mprotect(stack, STACK, PROT_READ | PROT_WRITE);
    neighbour = (uintptr_t)stack + STACK;
    end = 0;
    pthread_create(&other, NULL, come_and_go, &end);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = STACK;
    coroutine.uc_link = &scheduler;
    makecontext(&coroutine, in_coroutine, 0);
    for (int i = 0; i < TURNS + 1; i++)
        swapcontext(&scheduler, &coroutine);
    end = 1;
    pthread_join(other, NULL);
    say("coroutine\n");
    return 0;
}

static int part_coroutine(char **arguments)
{
    return run_coroutine();
}

static void *coroutine_in_thread(void *nothing)
{
    run_coroutine();
    return nothing;
}

static int part_coroutine_in_thread(char **arguments)
{
    pthread_t thread;
    pthread_create(&thread, NULL, coroutine_in_thread, NULL);
    pthread_join(thread, NULL);
    return 0;
}

/* ------------------------------------------------------------------------ stacks that go, and other stacks -- */

static void *short_life(void *other)
{
    for (int i = 0; i < 100; i++)
        spin((uintptr_t)other);
    for (uintptr_t up = here(); up < here() + 1024; up += 64)
        spin(up);
    return (void *)here();
}

/* Threads whose frame pointers lead to the stacks of threads that have ended, and whose stacks are given back. */
static int part_short(char **arguments)
{
    void *last = NULL;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    for (int i = 0; i < 400; i++) {
        pthread_t thread;
        pthread_attr_setstacksize(&attributes, ((size_t)1 << 20) * (1 + (size_t)i % 64)); /* too much to be kept */
        pthread_create(&thread, &attributes, short_life, last);
        pthread_join(thread, &last);
    }
    say("short\n");
    return 0;
}

static void on_alternate(int signal)
{
    spin_with_any(100);
}

static int part_alternate(char **arguments)
{
    stack_t stack = {.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                     .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_alternate, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR1);
        spin_with_any(50);
    }
    say("alternate\n");
    return 0;
}

/* Code without a file that calls itself and returns, with frames of its own. */
static int part_compiled(char **arguments)
{
#if defined(__x86_64__)
    /* push rbp; mov rbp, rsp; test edi, edi; jz 1f; dec edi; call self; jmp 2f; 1: mov ecx, 2000; loop: dec; jnz; 2: */
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x85, 0xff, 0x74, 0x09, 0xff, 0xcf,
                                         0xe8, 0xf1, 0xff, 0xff, 0xff, 0xeb, 0x09, 0xb9, 0x20, 0x4e,
                                         0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3};
    for (int turn = 0; turn < 20; turn++) {
        char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(memory, code, sizeof code);
        mprotect(memory, PAGE, PROT_READ | PROT_EXEC);
        void (*function)(int);
        *(void **)&function = memory;
        for (int i = 0; i < 2000; i++)
            function(5);
        munmap(memory, PAGE);
    }
#endif
    say("compiled\n");
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {
        {"corrupt", part_corrupt},     {"threads", part_threads},
        {"coroutine", part_coroutine}, {"coroutine-in-thread", part_coroutine_in_thread},
        {"short", part_short},         {"alternate", part_alternate},
        {"compiled", part_compiled},   {0}};
    return run_part(parts, arguments);
}
