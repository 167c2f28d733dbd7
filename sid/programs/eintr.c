/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How often a call that waits is interrupted: by the program's own alarms and by nothing else. */
#define _GNU_SOURCE
#include "program.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

#define ROUNDS 8

static int ends[2];
static volatile int over;

static void on_alarm(int signal)
{
}

/* The process uses CPU time while its first thread waits. */
static void *work(void *nothing)
{
    while (!over)
        burn(5);
    return nothing;
}

/* An alarm that comes before the call is followed by another. Each call is interrupted once. */
static void interrupted_reads(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval alarms = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000}, none = {0};
    int interrupted = 0, other = 0;
    char byte;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        setitimer(ITIMER_REAL, &alarms, NULL);
        if (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            interrupted++;
        else
            other++;
        setitimer(ITIMER_REAL, &none, NULL);
    }
    say("read(): interrupted %d times of %d, %d ended otherwise\n", interrupted, ROUNDS, other);
}

static int wait_poll(void)
{
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    return poll(&ready, 1, 20);
}

static int wait_select(void)
{
    struct timeval time = {.tv_usec = 20000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return select(ends[0] + 1, &set, NULL, NULL, &time);
}

static int wait_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event);
    int result = epoll_wait(fd, &event, 1, 20), error = errno;
    close(fd);
    errno = error;
    return result;
}

static int wait_nanosleep(void)
{
    return nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static int wait_semaphore(void)
{
    sem_t semaphore;
    struct timespec until;
    sem_init(&semaphore, 0, 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&semaphore, &until) < 0 && errno != ETIMEDOUT ? -1 : 0;
}

static void uninterrupted(const char *name, int (*wait)(void))
{
    int interrupted = 0, failed = 0;
    for (int i = 0; i < ROUNDS; i++)
        if (wait() < 0) {
            interrupted += errno == EINTR;
            failed += errno != EINTR;
        }
    say("%s: interrupted %d times, failed %d\n", name, interrupted, failed);
}

int main(void)
{
    pthread_t worker;
    sigset_t alarm;
    if (pipe(ends) != 0)
        return 1;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL); /* the worker's */
    pthread_create(&worker, NULL, work, NULL);
    pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
    interrupted_reads();
    uninterrupted("poll()", wait_poll);
    uninterrupted("select()", wait_select);
    uninterrupted("epoll_wait()", wait_epoll);
    uninterrupted("nanosleep()", wait_nanosleep);
    uninterrupted("sem_timedwait()", wait_semaphore);
    over = 1;
    pthread_join(worker, NULL);
    return 0;
}
