/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A debugger and its debuggee: it counts the stops, each of which the debuggee asked for. */
#define _GNU_SOURCE
#include "program.h"

#include <sys/ptrace.h>

static void debuggee(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    burn(40);
    raise(SIGUSR1);
    burn(40);
    _exit(11);
}

int main(int n, char **arguments)
{
    int status;
    burn(20);
    pid_t child = fork();
    if (child == 0)
        debuggee();
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        int signal = WSTOPSIG(status);
        say("stopped by %d\n", signal);
        ptrace(PTRACE_CONT, child, NULL, NULL); /* the signal is the debugger's */
    }
    say("ended: %d, status %d\n", WIFEXITED(status), WEXITSTATUS(status));
    return 0;
}
