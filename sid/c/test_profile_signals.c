/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The profiler's signal beside the program's own use of it. Each part is a child of its own:
 * actions are the process's. */
#define _GNU_SOURCE
#include "profiled.h"

#include <errno.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>

static volatile unsigned samples, late, got;
static volatile uint64_t mask_inside, mask_of_program;
static siginfo_t got_info;

static uint64_t kernel_mask(void)
{
    uint64_t mask;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    return mask;
}

static void on_sample(const struct bid_interrupted *at, uint64_t ticks, int is_late)
{
    CHECK(at->ip && ticks == 1);
    samples++;
    late += is_late != 0;
    mask_inside = kernel_mask();
}

static void on_own(int signal)
{
    CHECK(signal == SIGTRAP);
    got++;
    mask_of_program = kernel_mask();
}

static void on_own_info(int signal, siginfo_t *info, void *context)
{
    CHECK(signal == SIGTRAP && context);
    got++;
    got_info = *info;
}

static uint64_t bit(int signal)
{
    return 1ull << (signal - 1);
}

static void set_own(void (*handler)(int), int flags, int also_blocked)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (also_blocked)
        sigaddset(&action.sa_mask, also_blocked);
    CHECK(bid_signals_action(SIGTRAP, &action, NULL) == 0);
}

/* ------------------------------------------------------------------------------------------ whose signal it is -- */

static void ours_and_others(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    set_own(on_own, 0, 0);
    send_ours(0);
    CHECK(samples == 1 && late == 0 && got == 0);
    CHECK(mask_inside == ~(bit(SIGKILL) | bit(SIGSTOP))); /* libc's own signals included */
    send_ours(1);
    CHECK(samples == 2 && late == 1);
    send_sample(12345, 0); /* a perf event of the program's */
    raise(SIGTRAP);
    CHECK(samples == 2 && got == 2);
    CHECK(kernel_mask() == 0);
}

static void default_action(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    send_ours(0);
    CHECK(samples == 1);
    raise(SIGTRAP); /* ends the process */
}

/* As the kernel would have it, for a handler of the program's. */
static void mask_and_flags(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    set_own(on_own, 0, SIGUSR1);
    raise(SIGTRAP);
    CHECK(got == 1 && mask_of_program == (bit(SIGTRAP) | bit(SIGUSR1)));
    set_own(on_own, SA_NODEFER, 0);
    raise(SIGTRAP);
    CHECK(got == 2 && mask_of_program == 0);
    struct sigaction action = {.sa_sigaction = on_own_info, .sa_flags = SA_SIGINFO}, before;
    CHECK(bid_signals_action(SIGTRAP, &action, &before) == 0);
    CHECK(before.sa_handler == on_own && before.sa_flags & SA_NODEFER);
    CHECK(bid_signals_action(SIGTRAP, NULL, &before) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    struct sigaction plain;
    CHECK(sigaction(SIGUSR2, NULL, &plain) == 0 && plain.sa_flags == before.sa_flags);
    CHECK(plain.sa_restorer == before.sa_restorer && memcmp(&plain.sa_mask, &before.sa_mask, 8) == 0);
    send_sample(12345, 0);
    CHECK(got == 3 && got_info.si_code == PERF_CODE);
    CHECK(bid_signals_action(SIGTRAP, NULL, &before) == 0 && before.sa_sigaction == on_own_info);
    CHECK(samples == 0);
}

static void only_once(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    set_own(on_own, (int)SA_RESETHAND, 0);
    raise(SIGTRAP);
    CHECK(got == 1);
    struct sigaction now;
    CHECK(bid_signals_action(SIGTRAP, NULL, &now) == 0);
    CHECK(now.sa_handler == SIG_DFL && now.sa_flags & (int)SA_RESETHAND);
    send_ours(0);
    CHECK(samples == 1);
    raise(SIGTRAP); /* ends the process */
}

static sigjmp_buf jump;

static void leave(int signal)
{
    siglongjmp(jump, signal);
}

static void jumps(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    set_own(leave, 0, 0);
    for (volatile int i = 0; i < 3; i++) {
        if (sigsetjmp(jump, 1) == 0)
            raise(SIGTRAP);
        CHECK(kernel_mask() == 0);
    }
    send_ours(0);
    CHECK(samples == 1);
}

/* ------------------------------------------------------------------------------------------------- ignored -- */

static void ignored(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    set_own(SIG_IGN, 0, 0);
    CHECK(kernel_action(SIGTRAP).handler == (uintptr_t)SIG_IGN); /* which the next program inherits */
    raise(SIGTRAP);
    send_ours(0);
    CHECK(samples == 0);
    set_own(SIG_DFL, 0, 0);
    send_ours(0);
    CHECK(samples == 1);
}

static void ignored_before(void)
{
    signal(SIGTRAP, SIG_IGN);
    CHECK(bid_signals_take(SIGTRAP, on_sample) == EALREADY);
    CHECK(kernel_action(SIGTRAP).handler == (uintptr_t)SIG_IGN);
    CHECK(bid_signals_taken() == 0);
}

static void given_back(void)
{
    struct kernel_action before = kernel_action(SIGTRAP);
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    bid_signals_give_back(SIGTRAP, 1); /* a sample may still come, and must not end the process */
    send_ours(0);
    CHECK(samples == 1);
    bid_signals_give_back(SIGTRAP, 0);
    CHECK(kernel_action(SIGTRAP).handler == before.handler && bid_signals_taken() == 0);
}

/* System calls end with EINTR, or go on, as the program asked for. */
static void restarts(void)
{
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    CHECK(kernel_action(SIGTRAP).flags & SA_RESTART);
    set_own(on_own, 0, 0);
    CHECK(!(kernel_action(SIGTRAP).flags & SA_RESTART));
    set_own(on_own, SA_RESTART, 0);
    CHECK(kernel_action(SIGTRAP).flags & SA_RESTART);
}

/* -------------------------------------------------------------------------------------------------- stacks -- */

static void stacks(void)
{
    unsigned long frame = getauxval(51) ? getauxval(51) : 4096;
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    CHECK(kernel_action(SIGTRAP).flags & SA_ONSTACK);
    bid_signals_stack(frame + 4096);
    CHECK(kernel_action(SIGTRAP).flags & SA_ONSTACK);
    bid_signals_stack(frame);
    CHECK(!(kernel_action(SIGTRAP).flags & SA_ONSTACK));
    set_own(on_own, SA_ONSTACK, 0); /* stays so */
    CHECK(!(kernel_action(SIGTRAP).flags & SA_ONSTACK));
    send_ours(0);
    CHECK(samples == 1);
}

static void on_alarm(int signal)
{
    (void)signal;
    mask_of_program = kernel_mask();
}

/* On an alternate stack there may be no room for a second frame. What the program is told is what it asked for. */
static void handlers_on_stacks(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK}, before;
    CHECK(bid_signals_take(SIGTRAP, on_sample) == 0);
    CHECK(bid_signals_action(SIGALRM, &action, NULL) == 0);
    raise(SIGALRM);
    CHECK(mask_of_program == (bit(SIGALRM) | bit(SIGTRAP)));
    action.sa_flags = 0;
    CHECK(bid_signals_action(SIGALRM, &action, &before) == 0);
    CHECK(before.sa_flags & SA_ONSTACK && !sigismember(&before.sa_mask, SIGTRAP));
    raise(SIGALRM);
    CHECK(mask_of_program == bit(SIGALRM));
    action.sa_flags = SA_ONSTACK;
    sigaddset(&action.sa_mask, SIGTRAP);
    CHECK(bid_signals_action(SIGALRM, &action, NULL) == 0 && bid_signals_action(SIGALRM, NULL, &before) == 0);
    CHECK(sigismember(&before.sa_mask, SIGTRAP)); /* its own */
}

static struct bid_recording *recording;

static void count_sample(const struct bid_interrupted *at, uint64_t ticks, int is_late)
{
    if (!is_late)
        bid_agent_sample(recording, &recording->slots[0], at, ticks);
}

/* A painted alternate stack: what the whole of a sample takes of it, the kernel's frame included, is less than is asked
 * for before an alternate stack is used. */
static void need(void)
{
    enum { BYTES = 1 << 16 };
    unsigned long frame = getauxval(51), used = 0;
    unsigned char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = memory, .ss_size = BYTES};
    recording = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && recording != MAP_FAILED && sigaltstack(&stack, NULL) == 0);
    CHECK(bid_signals_take(SIGTRAP, count_sample) == 0);
    memset(memory, 0xa5, BYTES);
    send_ours(0);
    CHECK(recording->samples == 1);
    while (used < BYTES && memory[used] == 0xa5)
        used++;
    used = BYTES - used;
    if (!frame) {
        printf("this kernel does not tell how large its frame is (AT_MINSIGSTKSZ, Linux 5.14)\n");
        return;
    }
    fprintf(stderr, "%lu bytes of an alternate stack, of which the kernel may take %lu\n", used, frame);
    CHECK(used > 400 && used <= frame + 1024);
}

int main(void)
{
    CHECK(in_child(ours_and_others) == 0);
    CHECK(WTERMSIG(in_child(default_action)) == SIGTRAP);
    CHECK(in_child(mask_and_flags) == 0);
    CHECK(WTERMSIG(in_child(only_once)) == SIGTRAP);
    CHECK(in_child(jumps) == 0);
    CHECK(in_child(ignored) == 0);
    CHECK(in_child(ignored_before) == 0);
    CHECK(in_child(given_back) == 0);
    CHECK(in_child(restarts) == 0);
    CHECK(in_child(stacks) == 0);
    CHECK(in_child(handlers_on_stacks) == 0);
    CHECK(in_child(need) == 0);
    printf("ok\n");
    return 0;
}
