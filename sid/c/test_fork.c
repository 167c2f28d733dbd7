/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* fork (G9): the child looks up and updates at once, without page faults for its lookups, while the parent's threads
 * churn; also when the fork comes from a signal handler that interrupted an update. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEADY 2000

static struct bid_table *table, *warm;
static atomic_int stop;

static void *churn(void *argument)
{
    for (uint64_t turn = 0; !atomic_load(&stop); turn++) {
        uint64_t key = inode_key(STEADY + turn * 13 % 3000);
        int status = turn / 3000 % 2 ? bid_remove(table, key) : insert(table, key, 1, 20);
        CHECK_STATUS(status < 0 && status != BID_E_RETIRED ? status : BID_OK, BID_OK); /* a preempted thread stalls */
    }
    return argument;
}

static long page_faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

static void look_up(const struct bid_table *in, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(in, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
}

static void child(void)
{
    alarm(60);
    look_up(warm, 1); /* the stack and the code are the child's to fault in */
    page_faults();
    long before = page_faults();
    look_up(table, STEADY);
    CHECK(page_faults() == before);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(insert(table, inode_key(100000 + i), 1, 20) == BID_OK);
    look_up(table, STEADY);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_STATUS(bid_remove(table, inode_key(100000 + i)), BID_OK);
    CHECK(bid_shrink(table) >= 0);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(insert(table, inode_key(100000 + i), 1, 20) == BID_OK);
    CHECK(bid_reclaim(table) == 0); /* nobody else is here to hold anything up */
    unfinished_updates = 8;         /* what other threads were at when the process forked */
    bid_destroy(table);
    _exit(0);
}

static void wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        ;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static volatile sig_atomic_t forks;

/* The child goes on with the update that was interrupted, and leaves the loop below after it. */
static volatile sig_atomic_t in_child;

static void fork_in_handler(int signal)
{
    (void)signal;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid)
        wait_for(pid);
    else
        in_child = 1;
    forks++;
}

static void forks_from_a_handler(void)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    for (uint64_t turn = 0; forks < 40; turn++) {
        if (turn % 50 == 0)
            ualarm(1 + (unsigned)(turn * 7 % 900), 0);
        uint64_t key = inode_key(STEADY + turn * 13 % 3000);
        int status = turn / 3000 % 2 ? bid_remove(table, key) : insert(table, key, 1, 20);
        CHECK_STATUS(status < 0 && status != BID_E_RETIRED ? status : BID_OK, BID_OK); /* a preempted thread stalls */
        if (in_child) {
            signal(SIGALRM, SIG_DFL);
            child();
        }
    }
    ualarm(0, 0);
}

/* A fork by a thread that is inside an iteration. The child grows the table there and goes on: its own pin has to keep
 * the array that it is in. */
struct reading {
    uint64_t visits;
    int is_child;
};

static int fork_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct reading *reading = argument;
    (void)key, (void)status, (void)id;
    if (reading->visits++)
        return 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid) {
        wait_for(pid);
        return 1;
    }
    reading->is_child = 1;
    alarm(60);
    CHECK_STATUS(bid_reserve(table, 50000), BID_OK);
    CHECK(bid_reclaim(table) > 0);
    return 0;
}

static void fork_inside_a_reader(void)
{
    struct reading reading = {0};
    int stopped = bid_iterate(table, fork_inside, &reading);
    CHECK(stopped != reading.is_child);
    if (!reading.is_child)
        return;
    CHECK(reading.visits >= STEADY);
    CHECK(bid_reclaim(table) == 0);
    child();
}

int main(void)
{
    table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    warm = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(warm, inode_key(0), 1, 20), BID_OK);
    fork_inside_a_reader();
    forks_from_a_handler();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid)
            child();
        look_up(table, STEADY);
        wait_for(pid);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    look_up(table, STEADY);
    bid_destroy(warm);
    bid_destroy(table);
    return 0;
}
