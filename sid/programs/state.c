/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a process can ask about itself, at its start, after some work, in a child, in a thread and after exec().
 *
 * What must differ under a profiler that is preloaded, and is left out: IDs and times of processes, the memory's size
 * and its mappings, LD_PRELOAD and PYBUILDID_PROFILE, and whether SIGTRAP and SIGPROF have a handler in the eyes of the
 * kernel (SigCgt; what sigaction() says is compared). With the argument "timer", also the POSIX timers.
 */
#define _GNU_SOURCE
#include "program.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

extern char **environ;
static int with_timers;

/* A number in a link names an inode of a pipe or socket. */
static void say_descriptors(void)
{
    DIR *entries = opendir("/proc/self/fd");
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char target[4096];
        ssize_t length = readlinkat(dirfd(entries), entry->d_name, target, sizeof target - 1);
        if (length < 0 || atoi(entry->d_name) == dirfd(entries))
            continue;
        target[length] = 0;
        char *number = strstr(target, ":[");
        if (number)
            *number = 0;
        say("descriptor %s: %s, flags %d\n", entry->d_name, target, fcntl(atoi(entry->d_name), F_GETFD));
    }
    if (entries)
        closedir(entries);
}

static int count(const char *folder)
{
    DIR *entries = opendir(folder);
    int number = 0;
    while (entries && readdir(entries))
        number++;
    if (entries)
        closedir(entries);
    return number - 2;
}

static int must_differ(const char *line)
{
    static const char *const names[] = {"Pid:",    "Tgid:",   "PPid:",  "NStgid:", "NSpid:",  "NSpgid:", "NSsid:",
                                        "VmPeak:", "VmSize:", "VmHWM:", "VmRSS:",  "RssAnon", "RssFile", "RssShmem",
                                        "VmData:", "VmStk:",  "VmExe:", "VmLib:",  "VmPTE:",  "VmSwap:", "SigQ:",
                                        "volunta", "nonvolu", "Ngid:",  "State:",  "Tracer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return 1;
    return 0;
}

static void say_status(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[1024];
    while (status && fgets(line, sizeof line, status)) {
        unsigned long long mask;
        if (sscanf(line, "SigCgt: %llx", &mask) == 1)
            say("SigCgt: %llx\n", mask & ~(1ull << (SIGTRAP - 1)) & ~(1ull << (SIGPROF - 1)));
        else if (!must_differ(line))
            say("%s", line);
    }
    if (status)
        fclose(status);
}

static void say_file(const char *path)
{
    char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    say("%s: %.*s\n", path, length > 0 ? (int)length : 0, text);
}

static void say_set(const char *name, const sigset_t *set)
{
    say("%s:", name);
    for (int signal = 1; signal < NSIG; signal++)
        if (sigismember(set, signal) == 1)
            say(" %d", signal);
    say("\n");
}

static void say_signals(void)
{
    sigset_t set;
    stack_t stack;
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) != 0)
            continue;
        const char *handler = action.sa_handler == SIG_DFL   ? "default"
                              : action.sa_handler == SIG_IGN ? "ignored"
                                                             : "handled";
        if (action.sa_handler != SIG_DFL || flags_of(&action))
            say("signal %d: %s, flags %x\n", signal, handler, flags_of(&action));
    }
    if (pthread_sigmask(SIG_SETMASK, NULL, &set) == 0)
        say_set("blocked", &set);
    if (sigpending(&set) == 0)
        say_set("pending", &set);
    if (sigaltstack(NULL, &stack) == 0)
        say("alternate stack: flags %d, %zu bytes\n", stack.ss_flags, stack.ss_size);
}

static void say_limits(void)
{
    for (int resource = 0; resource < (int)RLIM_NLIMITS; resource++) {
        struct rlimit limit = {0};
        getrlimit((__rlimit_resource_t)resource, &limit);
        say("limit %d: %llx %llx\n", resource, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
    for (int which = 0; which < 3; which++) {
        struct itimerval timer = {0};
        getitimer((__itimer_which_t)which, &timer);
        say("interval timer %d: %s\n", which, timer.it_value.tv_sec || timer.it_value.tv_usec ? "set" : "not set");
    }
    if (with_timers)
        say_file("/proc/self/timers");
}

static void say_process(void)
{
    int death = 0;
    mode_t mask = umask(0);
    umask(mask);
    prctl(PR_GET_PDEATHSIG, &death);
    say("keepcaps %d, securebits %d, death signal %d, dumpable %d, slack %d, no new privileges %d, subreaper %d\n",
        prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS), death, prctl(PR_GET_DUMPABLE), prctl(PR_GET_TIMERSLACK),
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), (int)getauxval(AT_SECURE));
    say("umask %o, nice %d, scheduler %d, personality %x, leader %d\n", mask, getpriority(PRIO_PROCESS, 0),
        sched_getscheduler(0), (unsigned)personality(0xffffffff), getsid(0) == getpid());
    say_file("/proc/self/oom_score_adj");
    say_file("/proc/self/coredump_filter");
    say_file("/proc/self/comm");
    int status, child = waitpid(-1, &status, WNOHANG);
    say("a child that nobody knows: %s\n", child < 0 ? strerror(errno) : "yes");
}

static void say_state(const char *when)
{
    say("---- %s\n%d threads\n", when, count("/proc/self/task"));
    say_descriptors();
    say_status();
    say_signals();
    say_limits();
    say_process();
}

static void *thread(void *nothing)
{
    burn(20);
    say_state("in a thread");
    return nothing;
}

static void say_environment(void)
{
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "PYBUILDID_PROFILE=", 18) != 0)
            say("%s\n", *entry);
}

int main(int n, char **arguments)
{
    int error = errno; /* 0 when main() begins, says C */
    const char *loader = dlerror();
    int last = n > 1 && strcmp(arguments[n - 1], "again") == 0;
    with_timers = !(n > 1 && strcmp(arguments[1], "timer") == 0);
    say("errno %d, loader's error %s, rounding %d, exceptions %d, locale %s\n", error, loader ? loader : "none",
        fegetround(), fetestexcept(FE_ALL_EXCEPT), setlocale(LC_ALL, NULL));
    say_environment();
    say_state("at the start");
    burn(50);
    nap(30);
    say_state("after some work");
    if (last)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        burn(30);
        say_state("in a child");
        _exit(7);
    }
    say_end("child", child);
    pthread_t other;
    if (pthread_create(&other, NULL, thread, NULL) == 0)
        pthread_join(other, NULL);
    execlp(arguments[0], arguments[0], with_timers ? "state" : "timer", "again", NULL);
    return 9;
}
