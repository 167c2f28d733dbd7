/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Becomes another user, as daemons do; for root. Ids and capabilities are asked of every
 * thread that the kernel knows. */
#define _GNU_SOURCE
#include "program.h"

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void say_thread(const char *task)
{
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "Uid", 3) == 0 || strncmp(line, "Gid", 3) == 0 || strncmp(line, "Groups", 6) == 0 ||
            strncmp(line, "Cap", 3) == 0)
            say("  %s", line);
    if (status)
        fclose(status);
}

static void say_threads(const char *when)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    say("%s\n", when);
    while (tasks && (task = readdir(tasks)))
        if (task->d_name[0] != '.')
            say_thread(task->d_name);
    if (tasks)
        closedir(tasks);
}

static int set_capability(int capability)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].effective = data[0].permitted = 1u << capability;
    return (int)syscall(SYS_capset, &head, data);
}

/* Keeps one capability, of one thread: a process of one thread has them as one. */
static int part_keep(char **arguments)
{
    burn(20);
    prctl(PR_SET_KEEPCAPS, 1);
    say("setresuid: %d\n", setresuid(65534, 65534, 65534));
    say("capset: %d\n", set_capability(CAP_SETGID));
    say("setgroups: %d\n", setgroups(0, NULL));
    say("setresgid: %d\n", setresgid(65534, 65534, 65534));
    burn(20);
    say_threads("another user");
    pid_t child = fork();
    if (child == 0) {
        burn(20);
        _exit((int)(getuid() == 65534));
    }
    say_end("child", child);
    return 0;
}

static void *wait_for(void *barrier)
{
    pthread_barrier_wait(barrier);
    burn(10);
    pthread_barrier_wait(barrier);
    return NULL;
}

/* For good, with threads that have to follow. */
static int part_drop(char **arguments)
{
    gid_t groups[] = {10, 20};
    pthread_barrier_t barrier;
    pthread_t threads[3];
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, wait_for, &barrier);
    pthread_barrier_wait(&barrier);
    say("setgroups: %d\n", setgroups(2, groups));
    say("setgid: %d\n", setgid(65534));
    say("setuid: %d\n", setuid(65534));
    say("back: %d\n", setuid(0));
    burn(20);
    say_threads("another user");
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {{"keep", part_keep}, {"drop", part_drop}, {0}};
    return run_part(parts, arguments);
}
