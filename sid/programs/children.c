/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every way to make a child, and what the child finds: fork, vfork, posix_spawn, clone, exec over and over. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>

extern char **environ;

/* Its descriptors, mask and actions, in one line. */
static int part_query(char **arguments)
{
    sigset_t mask;
    char text[4096] = "";
    burn(10);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            sprintf(text + strlen(text), " %d", fd);
    strcat(text, "; blocked:");
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&mask, number) == 1)
            sprintf(text + strlen(text), " %d", number);
    strcat(text, "; ignored:");
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sprintf(text + strlen(text), " %d", number);
    }
    say("%s: open:%s\n", arguments[2], text);
    return 6;
}

static void by_vfork(char *self)
{
    pid_t child = vfork();
    if (child == 0) {
        execlp(self, self, "query", "vfork", NULL);
        _exit(9);
    }
    say_end("vfork", child);
    child = vfork();
    if (child == 0)
        _exit(4);
    say_end("vfork without exec", child);
}

static void by_spawn(char *self)
{
    char *arguments[] = {self, "query", "posix_spawn", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t set;
    pid_t child;
    posix_spawn_file_actions_init(&files);
    for (int fd = 3; fd < 10; fd++)
        posix_spawn_file_actions_adddup2(&files, 1, fd);
    posix_spawnattr_init(&attributes);
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    signal(SIGPROF, SIG_IGN);
    signal(SIGTRAP, SIG_IGN);
    int error = posix_spawnp(&child, self, &files, &attributes, arguments, environ);
    if (error)
        say("posix_spawn: %s\n", strerror(error));
    else
        say_end("posix_spawn", child);
    fflush(stdout);
    int status = system("kill -TRAP $$; kill -PROF $$; echo alive");
    say("system: %d\n", status);
    signal(SIGPROF, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
}

static int in_clone(void *nothing)
{
    burn(10);
    return 3;
}

static void by_clone(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    say_end("clone", clone(in_clone, stack + sizeof stack, SIGCHLD, NULL));
    say_end("clone in the same memory",
            clone(in_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, NULL));
#ifdef SYS_fork
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0) {
        burn(10);
        syscall(SYS_exit_group, 2);
    }
    say_end("the system call fork", child);
#endif
}

static int part_ways(char **arguments)
{
    burn(20);
    by_vfork(arguments[0]);
    by_spawn(arguments[0]);
    by_clone();
    FILE *pipe = popen("echo from a pipe; exit 8", "r");
    char line[64] = "";
    if (pipe && fgets(line, sizeof line, pipe))
        say("popen: %s", line);
    say("pclose: %d\n", pclose(pipe));
    return 0;
}

/* Nothing but its own children come to whoever waits for any. */
static int part_many(char **arguments)
{
    int sum = 0, count = 0, status;
    for (int i = 0; i < 60; i++)
        if (fork() == 0) {
            if (i % 10 == 0)
                burn(10);
            _exit(i);
        }
    while (waitpid(-1, &status, 0) > 0) {
        count++;
        sum += WEXITSTATUS(status);
    }
    say("%d children, sum %d, then: %s\n", count, sum, strerror(errno));
    for (int generation = 0; generation < 10; generation++) {
        pid_t child = fork();
        if (child) {
            int ended = waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : 99;
            if (generation == 0)
                say("ten generations: %d\n", ended);
            if (generation)
                _exit(ended + 1);
            return 0;
        }
        burn(3);
    }
    _exit(1);
}

static void *idle(void *nothing)
{
    for (;;)
        nap(1000);
    return nothing;
}

/* exec() after exec(), the last ones from a process of two threads. */
static int part_exec(char **arguments)
{
    int left = atoi(arguments[2]);
    char number[16];
    pthread_t thread;
    burn(2);
    if (left == 0) {
        arguments[2] = "after all";
        return part_query(arguments);
    }
    if (left < 10)
        pthread_create(&thread, NULL, idle, NULL);
    snprintf(number, sizeof number, "%d", left - 1);
    execlp(arguments[0], arguments[0], "exec", number, NULL);
    return 9;
}

/* Another program, by every function that takes an environment or the environment of this process. */
static int part_foreign(char **arguments)
{
    char *program = arguments[2], *only[] = {program, NULL};
    burn(20);
    for (int way = 0; way < 4; way++) {
        pid_t child = fork();
        if (child == 0) {
            if (way == 0)
                execvp(program, only);
            if (way == 1)
                execvpe(program, only, environ);
            if (way == 2)
                execlp(program, program, NULL);
            execlp("env", "env", program, NULL);
            _exit(127);
        }
        say_end("exec", child);
    }
    pid_t child = -1;
    posix_spawnp(&child, program, NULL, NULL, only, environ);
    say_end("posix_spawnp", child);
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {{"query", part_query}, {"ways", part_ways},       {"many", part_many},
                                        {"exec", part_exec},   {"foreign", part_foreign}, {0}};
    return run_part(parts, arguments);
}
