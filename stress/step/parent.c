/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stepping from a parent process (PTRACE_SINGLESTEP): for processors without a trap flag that a program may set. The
 * parent stops the program after each instruction and lets it go on with a signal, whose handler makes the visit.
 *
 * The program asks by signals that the parent takes away, and the parent answers by writing to its variables. A thread
 * is stepped on one level, and counted in a visit on a second. Forked processes begin in the state of the thread that
 * forked.
 *
 * An instruction that loads and one that stores on condition that nobody came between (load-exclusive, store-exclusive)
 * never succeed when they are stepped: atomic accesses have to be single instructions. See run.py.
 */
#define _GNU_SOURCE
#include "../common/stepper.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP = SIGUSR1, COUNT = SIGWINCH, END = SIGUSR2, LEAVE = SIGIO, VISITED = SIGURG };

/* ------------------------------------------------------------------------------------------ the program -- */

static stepper_visit visitor;
static volatile uint64_t visited; /* the address that a visit is told; written by the parent */
static volatile uint64_t counted; /* likewise, by count_end */

static void ask(int wish)
{
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), wish);
}

/* After VISITED comes nothing but the return from the handler, which the parent waits for. */
static void on_trap(int signal)
{
    int error = errno;
    (void)signal;
    visitor(visited);
    ask(VISITED);
    errno = error;
}

stepper_visit stepper_install(stepper_visit visit)
{
    stepper_visit before = visitor;
    struct sigaction action = {.sa_handler = on_trap, .sa_flags = SA_NODEFER | SA_RESTART};
    visitor = visit;
    if (sigaction(SIGTRAP, &action, NULL) != 0) {
        perror("sigaction");
        exit(2);
    }
    return before;
}

void stepper_begin(void)
{
    ask(STEP);
}

void stepper_end(void)
{
    ask(END);
}

void stepper_leave(void)
{
    ask(LEAVE);
}

void stepper_count_begin(void)
{
    ask(COUNT);
}

uint64_t stepper_count_end(void)
{
    ask(END);
    return counted;
}

/* ------------------------------------------------------------------------------------------- the parent -- */

enum returning { NOT, BEFORE_THE_CALL, IN_THE_CALL }; /* of the system call that ends a handler */

struct thread {
    pid_t id; /* 0: free */
    int stopped, known;
    int stepping, visiting, counting, leaving;
    enum returning returning;
    uint64_t counted;
};

static struct thread threads[8192];

static void give_up(const char *what)
{
    perror(what);
    exit(2);
}

static struct thread *thread_of(pid_t id)
{
    static struct thread *last;
    if (last && last->id == id)
        return last;
    struct thread *free = NULL;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        if (threads[i].id == id)
            return last = &threads[i];
        if (!threads[i].id)
            free = &threads[i];
    }
    errno = EAGAIN;
    if (!free)
        give_up("too many threads");
    *free = (struct thread){.id = id};
    return last = free;
}

/* Into a variable of this file in the program, which is a fork of this one. A word is as long as an address. */
static void tell(const struct thread *thread, volatile uint64_t *variable, uint64_t value)
{
    if (ptrace(PTRACE_POKEDATA, thread->id, (void *)variable, (void *)(uintptr_t)value) != 0)
        give_up("PTRACE_POKEDATA");
}

static uint64_t address_of(const struct thread *thread)
{
    struct user_regs_struct registers;
    struct iovec vector = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, thread->id, (void *)NT_PRSTATUS, &vector) != 0)
        give_up("PTRACE_GETREGSET");
#if defined(__x86_64__)
    return registers.rip;
#else
    return registers.pc;
#endif
}

/* A thread that was killed meanwhile is told of by waitpid(). */
static void go_on(struct thread *thread, int signal)
{
    int stepped = thread->counting || (thread->stepping && !thread->visiting);
    int how = thread->returning ? PTRACE_SYSCALL : stepped ? PTRACE_SINGLESTEP : PTRACE_CONT;
    if (ptrace((enum __ptrace_request)how, thread->id, NULL, (void *)(uintptr_t)signal) != 0 && errno != ESRCH)
        give_up("ptrace");
}

/* A new thread or process stops by itself, and its maker in the call that made it: in either order. */
static void begin(struct thread *thread)
{
    if (thread->stopped && thread->known)
        go_on(thread, 0);
}

static void has_made(const struct thread *maker, int event)
{
    unsigned long id;
    if (ptrace(PTRACE_GETEVENTMSG, maker->id, NULL, &id) != 0)
        give_up("PTRACE_GETEVENTMSG");
    struct thread *made = thread_of((pid_t)id), state = *maker;
    state.id = made->id;
    state.stopped = made->stopped;
    *made = event == PTRACE_EVENT_CLONE ? (struct thread){.id = made->id, .stopped = made->stopped} : state;
    made->known = 1;
    begin(made);
}

/* Where the handler's last system call begins, and where it has ended. */
static void returns(struct thread *thread)
{
    thread->returning = thread->returning == BEFORE_THE_CALL ? IN_THE_CALL : NOT;
    if (thread->returning == IN_THE_CALL)
        return;
    thread->visiting = 0;
    thread->stepping = thread->stepping && !thread->leaving;
    thread->leaving = 0;
}

static void end(struct thread *thread)
{
    if (thread->counting)
        tell(thread, &counted, thread->counted);
    else
        thread->stepping = 0;
    thread->counting = 0;
}

/* After an instruction. Returns the signal to go on with. */
static int step(struct thread *thread)
{
    if (thread->counting) {
        thread->counted++;
        return 0;
    }
    if (!thread->stepping || thread->visiting)
        return 0;
    thread->visiting = 1;
    tell(thread, &visited, address_of(thread));
    return SIGTRAP;
}

/* What a thread that has stopped for a signal asks for. Returns the signal to go on with. */
static int serve(struct thread *thread, int signal)
{
    switch (signal) {
    case SIGTRAP:
        return step(thread);
    case SIGTRAP | 0x80:
        returns(thread);
        return 0;
    case STEP:
        thread->stepping = 1;
        return 0;
    case COUNT:
        thread->counting = 1, thread->counted = 0;
        return 0;
    case END:
        end(thread);
        return 0;
    case LEAVE:
        thread->leaving = 1;
        return 0;
    case VISITED:
        thread->returning = BEFORE_THE_CALL;
        return 0;
    default:
        return signal;
    }
}

static void stopped(struct thread *thread, int status)
{
    int event = status >> 16;
    if (!thread->stopped || !thread->known) {
        thread->stopped = 1;
        begin(thread);
    } else if (event) {
        has_made(thread, event);
        go_on(thread, 0);
    } else {
        go_on(thread, serve(thread, WSTOPSIG(status)));
    }
}

/* Until the program ends; its status. */
static int watch(pid_t program)
{
    for (;;) {
        int status;
        pid_t id = waitpid(-1, &status, __WALL);
        if (id < 0 && errno != EINTR)
            give_up("waitpid");
        if (id < 0)
            continue;
        if (WIFSTOPPED(status)) {
            stopped(thread_of(id), status);
            continue;
        }
        thread_of(id)->id = 0;
        if (id == program)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

int stepper_main(int (*program)(int count, char **arguments), int count, char **arguments)
{
    const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            give_up("PTRACE_TRACEME");
        raise(SIGSTOP);
        exit(program(count, arguments));
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)options) != 0)
        give_up("ptrace");
    struct thread *first = thread_of(child);
    first->stopped = first->known = 1;
    go_on(first, 0);
    return watch(child);
}
