/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs with little stack: small alternate stacks, small stacks of threads, coroutines. */
#define _GNU_SOURCE
#include "program.h"

#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define BELOW 65536 /* bytes below a stack that nobody may touch */
#define MARK 0xa5

/* Memory whose last `size` bytes are a stack; what is below them is marked. */
static char *make_stack(size_t size)
{
    char *memory = mmap(NULL, BELOW + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, MARK, BELOW);
    return memory + BELOW;
}

static void say_marks(const char *stack)
{
    int wrong = 0;
    for (const char *byte = stack - BELOW; byte < stack; byte++)
        wrong += *(const unsigned char *)byte != MARK;
    say("%d bytes below the stack were written\n", wrong);
}

static size_t frame_bytes(void)
{
    size_t least = getauxval(AT_MINSIGSTKSZ);
    return least > 2048 ? least : 2048;
}

static char *alternate(size_t size)
{
    char *memory = make_stack(size);
    stack_t stack = {.ss_sp = memory, .ss_size = size};
    if (sigaltstack(&stack, NULL) != 0)
        say("sigaltstack: %s\n", strerror(errno));
    return memory;
}

/* Smaller than the frame of a signal, perhaps; but no signal of this program is taken there. */
static int part_tiny(char **arguments)
{
    char *stack = alternate(2048);
    burn(60);
    say_marks(stack);
    pid_t child = fork();
    if (child == 0) {
        burn(20);
        _exit(0);
    }
    say_end("child", child);
    return 0;
}

static volatile int handled;

static void handle(int signal)
{
    handled++;
}

/* Room for one frame and a small handler. */
static int part_tight(char **arguments)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    char *stack = alternate(frame_bytes() + 512);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 30; i++) {
        burn(2);
        raise(SIGUSR1);
    }
    say("%d signals\n", handled);
    say_marks(stack);
    return 0;
}

static void handle_long(int signal)
{
    handled++;
    burn_without_calls();
}

/* The same, with a handler that works for long: what interrupts it finds no room. */
static int run_busy(size_t size)
{
    struct sigaction action = {.sa_handler = handle_long, .sa_flags = SA_ONSTACK};
    char *stack = alternate(size);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    say("%d signals\n", handled);
    say_marks(stack);
    return 0;
}

static int part_busy(char **arguments)
{
    return run_busy(frame_bytes() + 1024);
}

/* Two frames and a little. */
static int part_roomy(char **arguments)
{
    return run_busy(2 * frame_bytes() + 1024);
}

/* SIGSEGV for a stack that is full, taken on the other one. */
static void on_overflow(int signal, siginfo_t *info, void *context)
{
    say("the stack is full\n");
    _exit(3);
}

static int deeper(int depth)
{
    volatile char room[4096];
    room[depth % (int)sizeof room] = (char)depth;
    return depth < 1 << 30 ? deeper(depth + 1) + room[0] : 0;
}

static int part_overflow(char **arguments)
{
    struct sigaction action = {.sa_sigaction = on_overflow, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_STACK, &limit);
    alternate(frame_bytes() + 8192);
    sigaction(SIGSEGV, &action, NULL);
    burn(30);
    return deeper(0);
}

/* ----------------------------------------------------------------------------------- threads, coroutines -- */

static void *small_thread(void *nothing)
{
    burn(20);
    return nothing;
}

static int part_threads(char **arguments)
{
    for (int i = 0; i < 4; i++) {
        char *stack = make_stack(16384); /* PTHREAD_STACK_MIN */
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stack, 16384);
        int error = pthread_create(&thread, &attributes, small_thread, NULL);
        if (error)
            say("pthread_create: %s\n", strerror(error));
        else
            pthread_join(thread, NULL);
        say_marks(stack);
    }
    return 0;
}

static ucontext_t scheduler, coroutine;

static void in_coroutine(void)
{
    for (int i = 0; i < 10; i++) {
        burn(3);
        swapcontext(&coroutine, &scheduler);
    }
}

static int part_coroutine(char **arguments)
{
    char *stack = make_stack(8192);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = 8192;
    coroutine.uc_link = &scheduler;
    makecontext(&coroutine, in_coroutine, 0);
    for (int i = 0; i < 11; i++)
        swapcontext(&scheduler, &coroutine);
    say_marks(stack);
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {
        {"tiny", part_tiny},         {"tight", part_tight},     {"busy", part_busy},           {"roomy", part_roomy},
        {"overflow", part_overflow}, {"threads", part_threads}, {"coroutine", part_coroutine}, {0}};
    return run_part(parts, arguments);
}
