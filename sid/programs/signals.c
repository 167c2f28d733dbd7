/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs that use the signals which a profiler would like to have, SIGTRAP and SIGPROF. */
#define _GNU_SOURCE
#include "program.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>

static const int both[] = {SIGTRAP, SIGPROF};

static void say_pending(const char *when)
{
    sigset_t set;
    sigpending(&set);
    say("%s: pending: SIGTRAP %d, SIGPROF %d\n", when, sigismember(&set, SIGTRAP), sigismember(&set, SIGPROF));
}

static void block(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < 2; i++)
        sigaddset(set, both[i]);
    sigprocmask(SIG_BLOCK, set, NULL);
}

/* Nobody sends this program what it waits for, but itself. */
static int part_wait(char **arguments)
{
    const struct timespec soon = {.tv_nsec = 20000000};
    siginfo_t info;
    sigset_t set;
    block(&set);
    for (int i = 0; i < 2; i++) {
        burn(40);
        say_pending("after some work");
        int got = sigtimedwait(&set, &info, &soon);
        say("sigtimedwait: %d\n", got);
        kill(getpid(), both[i]);
        burn(20);
        got = sigwaitinfo(&set, &info);
        say("sigwaitinfo: %d, code %d, from this process %d\n", got, info.si_code, info.si_pid == getpid());
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    burn(20);
    return 0;
}

/* The same by a descriptor, which shows what the thread has pending. */
static int part_descriptor(char **arguments)
{
    struct signalfd_siginfo info;
    sigset_t set;
    burn(40);
    block(&set);
    burn(40);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        burn(40);
        say_pending("after some work");
        say("signalfd: %zd\n", read(fd, &info, sizeof info));
        sigqueue(getpid(), both[i], (union sigval){.sival_int = 42});
        memset(&info, 0, sizeof info);
        say("signalfd: %zd", read(fd, &info, sizeof info));
        say(", signal %u, code %d, value %d\n", info.ssi_signo, info.ssi_code, info.ssi_int);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    burn(20);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- handlers -- */

static struct {
    volatile int count, code, value, others_blocked, own_blocked;
} seen;

static void note(int signal, siginfo_t *info, void *context)
{
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    seen.count++;
    seen.code = info->si_code;
    seen.value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
    seen.own_blocked = sigismember(&mask, signal);
    seen.others_blocked = sigismember(&mask, SIGUSR2);
}

static void say_seen(const char *what, int signal)
{
    say("%d: %s: %d times, code %d, value %d, itself blocked %d, SIGUSR2 blocked %d\n", signal, what, seen.count,
        seen.code, seen.value, seen.own_blocked, seen.others_blocked);
    memset((void *)&seen, 0, sizeof seen);
}

static void count_one(int signal)
{
    seen.count++;
}

static void say_action(const char *what, int signal)
{
    struct sigaction action;
    sigaction(signal, NULL, &action);
    say("%d: %s: %s, flags %x, SIGUSR2 in its mask %d\n", signal, what,
        action.sa_flags & SA_SIGINFO && action.sa_sigaction == note ? "note"
        : action.sa_handler == count_one                            ? "count_one"
        : action.sa_handler == SIG_DFL                              ? "default"
        : action.sa_handler == SIG_IGN                              ? "ignored"
                                                                    : "something else",
        flags_of(&action), sigismember(&action.sa_mask, SIGUSR2));
}

static void use_sigaction(int signal)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}, before;
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(signal, &action, &before);
    say("%d: before: default %d\n", signal, before.sa_handler == SIG_DFL);
    say_action("sigaction()", signal);
    burn(20);
    say_seen("without a sender", signal);
    raise(signal);
    say_seen("raise()", signal);
    kill(getpid(), signal);
    say_seen("kill()", signal);
    sigqueue(getpid(), signal, (union sigval){.sival_int = 4711});
    say_seen("sigqueue()", signal);
    action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER;
    sigaction(signal, &action, NULL);
    raise(signal);
    say_seen("once", signal);
    say_action("SA_RESETHAND", signal);
}

static void use_signal(int number)
{
    say("%d: signal() after the default: %d\n", number, signal(number, count_one) == SIG_DFL);
    say_action("signal()", number);
    raise(number);
    raise(number);
    burn(10);
    say_seen("signal()", number);
    say("%d: signal() after a handler: %d\n", number, signal(number, SIG_IGN) == count_one);
    raise(number);
    kill(getpid(), number);
    burn(10);
    say_action("SIG_IGN", number);
    say("%d: signal() after ignoring: %d\n", number, signal(number, SIG_DFL) == SIG_IGN);
}

static int part_handlers(char **arguments)
{
    for (int i = 0; i < 2; i++) {
        use_sigaction(both[i]);
        use_signal(both[i]);
    }
    return 0;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* siginterrupt(), sigset() */
static void use_sigset(int number)
{
    say("%d: sigset(): %d\n", number, sigset(number, SIG_DFL) == count_one);
    burn(10);
    say("%d: sigset() again: %d\n", number, sigset(number, count_one) == SIG_DFL);
    burn(10);
    say_action("sigset()", number);
    raise(number);
    say("%d: sighold(): %d\n", number, sighold(number));
    burn(10);
    raise(number);
    say_seen("held", number);
    say("%d: sigset() after sighold(): %d\n", number, sigset(number, count_one) == SIG_HOLD);
    say_seen("let go", number);
    say("%d: sigignore(): %d\n", number, sigignore(number));
    burn(10);
    raise(number);
    say_action("sigignore()", number);
    signal(number, SIG_DFL);
}

/* The ways to set an action that are not sigaction() and signal(). */
static int part_other_ways(char **arguments)
{
    for (int i = 0; i < 2; i++) {
        int number = both[i];
        say("%d: sysv_signal(): %d\n", number, __sysv_signal(number, count_one) == SIG_DFL);
        burn(20);
        say_seen("sysv_signal()", number);
        raise(number);
        say_seen("sysv_signal(), raised", number);
        say_action("sysv_signal() resets", number);
        signal(number, count_one);
        say("%d: siginterrupt(): %d\n", number, siginterrupt(number, 1));
        say_action("siginterrupt()", number);
        burn(20);
        raise(number);
        say_seen("siginterrupt()", number);
        use_sigset(number);
    }
    return 0;
}

/* A profiler of its own, and breakpoints of its own. */
static int part_own_profiler(char **arguments)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval timer = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000}, off = {0};
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &timer, NULL);
    burn(80);
    setitimer(ITIMER_PROF, &off, NULL);
    say("SIGPROF: %s, code %d\n", seen.count > 1 && seen.count < 40 ? "as many as expected" : "too few or too many",
        seen.code);
    memset((void *)&seen, 0, sizeof seen);
#if defined(__x86_64__) || defined(__i386__)
    sigaction(SIGTRAP, &action, NULL);
    for (int i = 0; i < 100; i++) {
        __asm__ volatile("int3");
        burn(1);
    }
    say_seen("int3", SIGTRAP);
#endif
    return 0;
}

/* --------------------------------------------------------------------------------------- over an exec() -- */

static int part_query(char **arguments)
{
    sigset_t mask;
    burn(20);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 0; i < 2; i++) {
        say_action("after exec()", both[i]);
        say("%d: blocked %d\n", both[i], sigismember(&mask, both[i]));
    }
    say_pending("after exec()");
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            kill(getpid(), both[i]);
            burn(10);
            _exit(0);
        }
        say_end("a child that is sent the signal", child);
    }
    return 0;
}

static int run_query(char **arguments)
{
    execlp(arguments[0], arguments[0], "query", NULL);
    return 9;
}

static int part_ignore_exec(char **arguments)
{
    for (int i = 0; i < 2; i++)
        signal(both[i], SIG_IGN);
    burn(20);
    return run_query(arguments);
}

static int part_handle_exec(char **arguments)
{
    for (int i = 0; i < 2; i++)
        signal(both[i], count_one);
    burn(20);
    return run_query(arguments);
}

static int part_block_exec(char **arguments)
{
    sigset_t set;
    block(&set);
    burn(20);
    return run_query(arguments);
}

static int part_pending_exec(char **arguments)
{
    sigset_t set;
    block(&set);
    for (int i = 0; i < 2; i++)
        kill(getpid(), both[i]);
    return run_query(arguments);
}

/* --------------------------------------------------------------------------------- it ends by a signal -- */

static int part_die(char **arguments)
{
    int number = atoi(arguments[2]);
    burn(30);
    raise(number);
    return 0;
}

static int part_breakpoint(char **arguments)
{
    burn(30);
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("int3");
#else
    raise(SIGTRAP);
#endif
    return 0;
}

static int part_alarm_clock(char **arguments)
{
    struct itimerval timer = {.it_value.tv_usec = 30000};
    setitimer(ITIMER_PROF, &timer, NULL);
    burn(10000);
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {
        {"wait", part_wait},
        {"descriptor", part_descriptor},
        {"handlers", part_handlers},
        {"other-ways", part_other_ways},
        {"own-profiler", part_own_profiler},
        {"query", part_query},
        {"ignore-exec", part_ignore_exec},
        {"handle-exec", part_handle_exec},
        {"block-exec", part_block_exec},
        {"pending-exec", part_pending_exec},
        {"die", part_die},
        {"breakpoint", part_breakpoint},
        {"alarm-clock", part_alarm_clock},
        {0},
    };
    return run_part(parts, arguments);
}
