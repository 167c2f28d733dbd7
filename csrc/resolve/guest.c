/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread of ours in a program that should not notice.
 *
 * Descriptors. First the guest leaves the program's table for an empty one of its own. So it never has a number of the
 * program's table, and a program that closes every number, or calls dup2() over it, takes nothing from the guest.
 *
 * Ids. setuid() and the like are system calls for one thread. For POSIX, libc makes every thread that it knows do the
 * same call, by a signal, and ends the program if one call fails and another does not. So the guest must be a thread
 * that libc knows, and its call must end as the program's do. Capabilities decide that, and a program may change them
 * for single threads: prctl(PR_SET_KEEPCAPS), capset(). So the guest keeps libc's signal blocked, and takes it by
 * sigtimedwait(). Before it lets libc's handler run, it takes on the effective capabilities of all the program's
 * threads together: threads that have made the call already may have lost theirs by it, and the thread that called
 * setuid() makes the call last. The guest sets PR_SET_KEEPCAPS so that it still may do that. Whenever it wakes, and a
 * millisecond after such a call, it gives up the capabilities that no thread of the program has any more. It never has
 * one that it did not have when it began.
 *
 * The signal is the one below SIGRTMIN, with glibc (nptl(7)) as with musl. It is sent to single threads only, so the
 * guest takes no signal away from the program.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define NAP 1000 /* milliseconds: it looks at least so often whether it was told, for no signal may be had to say so */
#define SOON 1   /* after a change of ids, until the main thread has made it, too */

/* ------------------------------------------------------------------------------------------ descriptors -- */

/* For kernels before 5.9: until these are closed they keep the program's pipes open. */
static int close_all(void)
{
    struct dirent *entry;
    DIR *own = opendir("/proc/thread-self/fd");
    if (!own)
        return 0;
    while ((entry = readdir(own)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(own))
            close(atoi(entry->d_name));
    closedir(own);
    return 1;
}

static int leave_table(void)
{
    if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE) == 0)
        return 1;
    return unshare(CLONE_FILES) == 0 && close_all();
}

/* ----------------------------------------------------------------------------------------- capabilities -- */

struct capabilities {
    struct __user_cap_data_struct set[_LINUX_CAPABILITY_U32S_3];
};

static int capabilities_of(pid_t thread, struct capabilities *capabilities)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, thread};
    return syscall(SYS_capget, &head, capabilities->set) == 0;
}

static int has_any(const struct capabilities *capabilities)
{
    return (capabilities->set[0].permitted | capabilities->set[1].permitted) != 0;
}

static void add(struct capabilities *sum, const struct capabilities *more)
{
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sum->set[i].effective |= more->set[i].effective;
        sum->set[i].permitted |= more->set[i].permitted;
    }
}

struct entry { /* struct linux_dirent64: see getdents(2) */
    uint64_t number;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Of the threads in a part of the directory. */
static void add_threads(struct capabilities *sum, const char *entries, long bytes)
{
    struct capabilities one;
    pid_t self = (pid_t)syscall(SYS_gettid);
    for (long at = 0; at < bytes; at += ((const struct entry *)(entries + at))->length) {
        pid_t thread = atoi(((const struct entry *)(entries + at))->name);
        if (thread > 0 && thread != self && capabilities_of(thread, &one))
            add(sum, &one);
    }
}

/* Of all threads but the guest; of the main thread where there is no list of them. */
static int capabilities_of_program(struct capabilities *sum)
{
    _Alignas(8) char entries[2048];
    long bytes;
    if (!capabilities_of(getpid(), sum))
        return 0;
    int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (tasks >= 0 && (bytes = syscall(SYS_getdents64, tasks, entries, sizeof entries)) > 0)
        add_threads(sum, entries, bytes);
    if (tasks >= 0)
        close(tasks);
    return 1;
}

/* No more than it has, and no more than the program has. */
static void follow_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct capabilities own, next, program;
    if (!capabilities_of(0, &own) || !capabilities_of_program(&program))
        return;
    next = own;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        next.set[i].permitted &= program.set[i].permitted;
        next.set[i].effective = program.set[i].effective & next.set[i].permitted;
    }
    if (memcmp(&own, &next, sizeof own) != 0)
        syscall(SYS_capset, &head, next.set);
}

/* ---------------------------------------------------------------------------------------------- signals -- */

/* As the kernel has it: libc's functions leave libc's own signals out. */
typedef uint64_t kernel_set;

static int set_ids_signal(void)
{
    return SIGRTMIN - 1;
}

static kernel_set set_ids_set(void)
{
    return (kernel_set)1 << (set_ids_signal() - 1);
}

/* Takes one such signal, if there is one within the time. */
static int take(siginfo_t *from, unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000l};
    kernel_set set = set_ids_set();
    return syscall(SYS_rt_sigtimedwait, &set, from, &time, sizeof set) > 0;
}

/* Lets libc's handler run once. The handler checks the sender of the signal: a thread of this process, by tgkill(). It
 * runs once only, because the next signal may be there already, and needs the capabilities of its time. A signal of
 * bid_guest_stop() must not come first. */
static void change_ids(void)
{
    kernel_set others;
    siginfo_t from;
    while (take(&from, 0))
        ;
    follow_capabilities();
    while (syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), set_ids_signal()) != 0)
        sched_yield(); /* too many signals wait (RLIMIT_SIGPENDING) */
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &others, sizeof others);
    others &= ~set_ids_set();
    syscall(SYS_rt_sigsuspend, &others, sizeof others);
}

/* Returns whether ids were changed meanwhile. Else the time is over, or the signal is that of bid_guest_stop(). */
static int sleep_or_serve(unsigned milliseconds)
{
    siginfo_t from;
    if (!take(&from, milliseconds) || from.si_code != SI_TKILL)
        return 0;
    change_ids();
    return 1;
}

/* ------------------------------------------------------------------------------ begin, end, wait and stop -- */

enum { NOT_TOLD, TOLD, SENT };

int bid_guest_begin(struct bid_guest *guest)
{
    struct capabilities own;
    if (!leave_table())
        return 0;
    guest->privileged = !capabilities_of(0, &own) || has_any(&own);
    if (guest->privileged)
        prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); /* refused where the program may not do it either */
    kernel_set set = set_ids_set();
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof set);
    guest->thread = (pid_t)syscall(SYS_gettid);
    return 1;
}

/* libc lets no thread end that has not answered its signal. Our own signal would end the program where libc has no
 * handler. */
void bid_guest_end(const struct bid_guest *guest)
{
    siginfo_t from;
    kernel_set set = set_ids_set();
    while (bid_load(&guest->told, memory_order_acquire) != SENT) /* pairs with bid_guest_stop() */
        sched_yield();
    while (take(&from, 0))
        if (from.si_code == SI_TKILL)
            change_ids();
    if (guest->privileged)
        follow_capabilities();
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, sizeof set);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

int bid_guest_wait(struct bid_guest *guest, unsigned milliseconds)
{
    uint64_t end = now() + milliseconds, at;
    unsigned longest = NAP;
    while (bid_load(&guest->told, BID_RELAXED) == NOT_TOLD) {
        if (guest->privileged)
            follow_capabilities();
        if ((at = now()) >= end)
            return 0;
        longest = sleep_or_serve(end - at < longest ? (unsigned)(end - at) : longest) ? SOON : NAP;
    }
    return 1;
}

/* If the signal cannot be sent the guest sees the word, within NAP. */
void bid_guest_stop(struct bid_guest *guest)
{
    siginfo_t wake = {.si_signo = set_ids_signal(), .si_code = SI_QUEUE};
    bid_store(&guest->told, TOLD, BID_RELAXED);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), guest->thread, set_ids_signal(), &wake);
    bid_store(&guest->told, SENT, memory_order_release); /* pairs with bid_guest_end() */
}
