/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs of this folder share. Each prints what it sees of itself, and nothing that differs from one run to
 * the next: no process IDs, no addresses, no times. tests/test_profile_differential.py runs each alone and under the
 * profiler, and compares.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Unbuffered, so that a child of a fork has nothing to print a second time. */
__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vdprintf(1, format, arguments);
    va_end(arguments);
}

/* Uses CPU time of this thread, in which samples are taken. */
__attribute__((unused)) static void burn(int milliseconds)
{
    struct timespec from, now;
    static __thread volatile unsigned n;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do {
        for (int i = 0; i < 20000; i++)
            n++;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < milliseconds);
}

/* The same without a system call, for 10 to 100 milliseconds. */
__attribute__((unused)) static void burn_without_calls(void)
{
    for (volatile unsigned n = 0; n < 50000000; n++)
        ;
}

__attribute__((unused)) static void nap(int milliseconds)
{
    struct timespec rest = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000l};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

/* How a child ended, in words. */
__attribute__((unused)) static void say_end(const char *who, pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        say("%s: waitpid: %s\n", who, strerror(errno));
    else if (WIFSIGNALED(status))
        say("%s: signal %d\n", who, WTERMSIG(status));
    else
        say("%s: status %d\n", who, WEXITSTATUS(status));
}

/* Without SA_RESTORER, which is between libc and the kernel: whether libc tells it is its own affair. */
__attribute__((unused)) static unsigned flags_of(const struct sigaction *action)
{
    return (unsigned)action->sa_flags & ~0x04000000u;
}

/* A program of several parts: the first argument names one. */
struct part {
    const char *name;
    int (*run)(char **arguments);
};

__attribute__((unused)) static int run_part(const struct part *parts, char **arguments)
{
    for (; parts->name; parts++)
        if (arguments[1] && strcmp(parts->name, arguments[1]) == 0)
            return parts->run(arguments);
    say("no such part\n");
    return 2;
}

#endif
