/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a signal handler could ask instead: dl_iterate_phdr() takes the loader's lock, so while another thread holds
 * that, and waits for the handler's thread, neither gets on. A watchdog sees it. bid_resolve() answers there, and so
 * does glibc's _dl_find_object() where it is (2.35), which knows what the loader loaded and no build IDs.
 */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 1 /* seconds; what is not blocked takes microseconds */

static struct bid_maps *maps;
static int (*find_object)(void *, void *); /* of glibc, by its name, since older headers lack it */
static atomic_int inside, answered;

enum way { RESOLVE, FIND_OBJECT, ITERATE };
static enum way way;

static int look(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)info, (void)size, (void)argument;
    return 0;
}

static void handler(int signal)
{
    struct bid_stack_build_id record;
    char found[256]; /* struct dl_find_object has less */
    void *ip = (void *)(uintptr_t)handler;
    (void)signal;
    if (way == RESOLVE)
        CHECK(bid_resolve(maps, (uintptr_t)ip, &record, NULL) == BID_RESOLVED);
    else if (way == FIND_OBJECT)
        CHECK(find_object(ip, found) == 0);
    else
        dl_iterate_phdr(look, NULL);
    atomic_store(&answered, 1);
}

/* Under the loader's lock, as dlopen() is for long: it does not go on before the handler has answered. */
static int hold(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)info, (void)size, (void)argument;
    atomic_store(&inside, 1);
    while (!atomic_load(&answered))
        usleep(1000);
    return 1;
}

static void *hold_the_lock(void *argument)
{
    dl_iterate_phdr(hold, NULL);
    return argument;
}

/* The thread that is interrupted. */
static void interrupted(void)
{
    pthread_t thread;
    CHECK(signal(SIGUSR1, handler) != SIG_ERR);
    CHECK(pthread_create(&thread, NULL, hold_the_lock, NULL) == 0);
    while (!atomic_load(&inside))
        usleep(1000);
    raise(SIGUSR1);
    CHECK(pthread_join(thread, NULL) == 0);
    _exit(0);
}

/* In a process of its own, which is ended if it does not come back. */
static int is_blocked(enum way which)
{
    int status;
    way = which;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid)
        interrupted();
    for (int i = 0; i < PATIENCE * 1000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return 0;
        }
        usleep(1000);
    }
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    return 1;
}

int main(void)
{
    CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
    CHECK_STATUS(bid_maps_refresh(maps), BID_OK);
    CHECK(!is_blocked(RESOLVE));
    CHECK(is_blocked(ITERATE));
    *(void **)&find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
    if (find_object)
        CHECK(!is_blocked(FIND_OBJECT));
    bid_maps_destroy(maps);
    if (!find_object) {
        printf("no _dl_find_object(): it needs glibc 2.35 or later\n");
        return 77;
    }
    return 0;
}
