/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "stepper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static stepper_visit visitor;
static _Thread_local int counting, leaving;
static _Thread_local uint64_t counted;

static greg_t *register_of(void *context, int number)
{
    return &((ucontext_t *)context)->uc_mcontext.gregs[number];
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    int error = errno;
    if (counting)
        counted++;
    else
        visitor((uint64_t)*register_of(context, REG_RIP));
    if (leaving)
        *register_of(context, REG_EFL) &= ~(greg_t)TRAP_FLAG;
    leaving = 0;
    errno = error;
}

static void on_switch(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = register_of(context, REG_EFL);
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

/* A visit may be stepped in turn, to count: so SIGTRAP is not blocked while its handler runs. */
static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    if (sigaction(signal, &action, NULL) != 0) {
        perror("sigaction");
        exit(2);
    }
}

stepper_visit stepper_install(stepper_visit visit)
{
    stepper_visit before = visitor;
    visitor = visit;
    handle(SIGTRAP, on_trap);
    handle(SIGUSR1, on_switch);
    handle(SIGUSR2, on_switch);
    return before;
}

void stepper_begin(void)
{
    raise(SIGUSR1);
}

void stepper_end(void)
{
    raise(SIGUSR2);
}

void stepper_leave(void)
{
    leaving = 1;
}

void stepper_count_begin(void)
{
    counted = 0;
    counting = 1;
    stepper_begin();
}

uint64_t stepper_count_end(void)
{
    stepper_end();
    counting = 0;
    return counted;
}

int stepper_main(int (*program)(int count, char **arguments), int count, char **arguments)
{
    return program(count, arguments);
}
