/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Threads that come and go: joined, detached, cancelled, with destructors; and a process without its first thread. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <pthread.h>

static pthread_key_t key;
static int destroyed, cleaned;

static void destroy(void *value)
{
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

static void clean(void *nothing)
{
    __atomic_add_fetch(&cleaned, 1, __ATOMIC_RELAXED);
}

static void *worker(void *argument)
{
    pthread_setspecific(key, &key);
    burn(2);
    return argument;
}

static void *reader(void *argument)
{
    char byte;
    pthread_setspecific(key, &key);
    pthread_cleanup_push(clean, NULL);
    ssize_t length = read(*(int *)argument, &byte, 1);
    say("read() ended: %zd\n", length);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *spinner(void *argument)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (int i = 0; i < 1000; i++)
        burn_without_calls();
    return argument;
}

static void cancel(const char *what, void *(*body)(void *), void *argument)
{
    int cancelled = 0;
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, body, argument) != 0)
            continue;
        burn(3);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    say("%s: %d cancelled\n", what, cancelled);
}

static int part_many(char **arguments)
{
    int ends[2], right = 0;
    if (pipe(ends) != 0)
        return 1;
    pthread_key_create(&key, destroy);
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4];
        void *result;
        for (long i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, worker, (void *)i);
        for (long i = 0; i < 4; i++)
            right += pthread_join(threads[i], &result) == 0 && (long)result == i;
    }
    say("%d joined, %d destroyed\n", right, destroyed);
    cancel("in read()", reader, &ends[0]);
    cancel("at any place", spinner, NULL);
    say("%d cleaned, %d destroyed\n", cleaned, destroyed);
    return 0;
}

static void *last_thread(void *nothing)
{
    nap(30);
    burn(50);
    pid_t child = fork();
    if (child == 0) {
        burn(20);
        _exit(5);
    }
    say_end("child", child);
    return nothing;
}

static int part_leaderless(char **arguments)
{
    pthread_t thread;
    pthread_create(&thread, NULL, last_thread, NULL);
    pthread_exit(NULL);
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {{"many", part_many}, {"leaderless", part_leaderless}, {0}};
    return run_part(parts, arguments);
}
