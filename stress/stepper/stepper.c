/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "stepper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TRAP_FLAG 0x100

static stepper_visit visitor;

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    visitor(context);
}

static void on_switch(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    if (sigaction(signal, &action, NULL) != 0) {
        perror("sigaction");
        exit(2);
    }
}

void stepper_install(stepper_visit visit)
{
    visitor = visit;
    handle(SIGTRAP, on_trap);
    handle(SIGUSR1, on_switch);
    handle(SIGUSR2, on_switch);
}

void stepper_begin(void)
{
    raise(SIGUSR1);
}

void stepper_end(void)
{
    raise(SIGUSR2);
}
