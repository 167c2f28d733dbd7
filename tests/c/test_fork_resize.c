/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fork() while a thread is making an array, freeing one, or giving up one that another thread has forestalled. The
 * child of another thread takes back what that one was at: then it is as the child of a quiet parent, has all
 * descriptors and all memory. The child of that very thread goes on with it.
 *
 * The thread stops where the system is asked to populate memory, to empty it, or to unmap it.
 */
#define _GNU_SOURCE
#include "check.h"
#include "pin_forms.h"
#include "update.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define STEADY 500
#define MAX_ENTRIES 8000
#define ROOM 6000

enum moment { NOWHERE, MAKING, FORESTALLED, EMPTYING, UNMAPPING, MOMENTS };

/* ------------------------------------------------------------------------------------------- the moments -- */

static _Thread_local enum moment stops_at;
static _Thread_local void (*when_stopped)(void);

struct stopped {
    void *mapping;
    size_t bytes;
};
static struct stopped stopped;

static void stop(enum moment moment, void *address, size_t bytes)
{
    if (stops_at != moment)
        return;
    stops_at = NOWHERE;
    stopped = (struct stopped){address, bytes};
    when_stopped();
}

/* In the place of libc's. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice == MADV_POPULATE_WRITE)
        stop(MAKING, address, bytes);
    if (advice == MADV_DONTNEED)
        stop(stops_at == FORESTALLED ? FORESTALLED : EMPTYING, address, bytes);
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

int munmap(void *address, size_t bytes)
{
    stop(UNMAPPING, address, bytes);
    return (int)syscall(SYS_munmap, address, bytes);
}

/* ------------------------------------------------------------------------------------- the thread that stops -- */

static struct bid_table *table;
static sem_t has_stopped, go_on;

static void wait_on(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void stand_still(void)
{
    sem_post(&has_stopped);
    wait_on(&go_on);
}

/* What it made is forestalled: it stops again when it gives that up. */
static void stand_still_twice(void)
{
    stand_still();
    stops_at = FORESTALLED;
    when_stopped = stand_still;
}

static void resize(void)
{
    int status = bid_reserve(table, ROOM);
    bid_reclaim(table);
    CHECK(status == BID_OK || status == BID_E_RETIRED);
}

static void *disturb(void *moment)
{
    stops_at = (enum moment)(intptr_t)moment;
    when_stopped = stand_still;
    if (stops_at == FORESTALLED) {
        stops_at = MAKING;
        when_stopped = stand_still_twice;
    }
    resize();
    return NULL;
}

static pthread_t start(enum moment moment)
{
    pthread_t thread;
    CHECK_STATUS(shrink_table(table), BID_OK);
    bid_reclaim(table);
    CHECK(pthread_create(&thread, NULL, disturb, (void *)(intptr_t)moment) == 0);
    wait_on(&has_stopped);
    if (moment == FORESTALLED) {
        CHECK_STATUS(bid_reserve(table, ROOM / 2), BID_OK);
        sem_post(&go_on);
        wait_on(&has_stopped);
    }
    return thread;
}

static void let_go(pthread_t thread)
{
    sem_post(&go_on);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* ------------------------------------------------------------------------------------- what a quiet child is -- */

static uint64_t *quiet; /* how many entries the child of a quiet parent takes; shared by all processes */

static unsigned arrays_in_use(void)
{
    unsigned number = 0;
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        number += bid_load(&table->arrays[i].life, BID_RELAXED) != BID_LIFE_FREE;
    return number;
}

/* Whether nothing of the stopped thread's array has memory. */
static int is_given_back(void)
{
    size_t page = bid_platform_page(), resident = 0;
    for (size_t at = 0; at < stopped.bytes; at += page) {
        unsigned char present = 0;
        if (mincore((char *)stopped.mapping + at, page, &present) == 0)
            resident += present & 1;
        else
            CHECK(errno == ENOMEM); /* not even mapped */
    }
    return !resident;
}

static void look_up_steady(void)
{
    for (uint64_t i = 0; i < STEADY; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
}

static uint64_t fill(void)
{
    uint64_t entries = STEADY;
    int status;
    CHECK_STATUS(shrink_table(table), BID_OK);
    while ((status = insert(table, inode_key(entries), 1, 20)) == BID_OK)
        entries++;
    CHECK_STATUS(status, BID_E_MAX_ENTRIES);
    return entries;
}

/* untouched: nothing else has been mapped since the fork */
static void is_as_quiet(int untouched)
{
    if (!untouched)
        CHECK_STATUS(shrink_table(table), BID_OK); /* finishes what has begun by itself */
    CHECK(bid_reclaim(table) == 0);
    CHECK(!untouched || is_given_back());
    CHECK(arrays_in_use() == 1);
    look_up_steady();
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(bid_reserve(table, ROOM / 2), BID_OK);
        CHECK_STATUS(bid_reserve(table, ROOM), BID_OK);
        CHECK_STATUS(shrink_table(table), BID_OK);
    }
    uint64_t entries = fill();
    if (!*quiet)
        *quiet = entries;
    CHECK(entries * 50 >= *quiet * 49);
    bid_destroy(table);
}

/* --------------------------------------------------------------------------------------------------- forks -- */

static pid_t fork_child(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid)
        alarm(60);
    return pid;
}

static void wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        ;
    if (WIFSIGNALED(status))
        fprintf(stderr, "a child died of signal %d\n", WTERMSIG(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Of retired arrays one may wait, whatever its size, and no more. */
static void begin(enum form form)
{
    CHECK(sem_init(&has_stopped, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    table = make_for(form, (struct bid_options){.id_size = 20, .max_entries = MAX_ENTRIES, .retired_limit = 1});
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
}

static void end(pthread_t thread)
{
    let_go(thread);
    is_as_quiet(0);
}

static void quiet_parent(void)
{
    begin(PLAIN);
    pid_t pid = fork_child();
    if (!pid) {
        is_as_quiet(0);
        _exit(0);
    }
    wait_for(pid);
    bid_destroy(table);
}

static void beside(enum moment moment)
{
    begin(PLAIN);
    pthread_t thread = start(moment);
    pid_t pid = fork_child();
    if (!pid) {
        is_as_quiet(1);
        _exit(0);
    }
    wait_for(pid);
    end(thread);
}

/* Updates do that by themselves, also those that need no resize. */
static void by_the_way(enum moment moment)
{
    begin(PLAIN);
    pthread_t thread = start(moment);
    pid_t pid = fork_child();
    if (!pid) {
        for (int i = 0; i < 200; i++)
            CHECK_STATUS(insert(table, inode_key(0), 1, 20), BID_EXISTS);
        CHECK(is_given_back() && arrays_in_use() == 1 + (unsigned)bid_resizing(table));
        _exit(0);
    }
    wait_for(pid);
    end(thread);
}

/* Each child is the next one's parent; only some of them do anything in between. */
static void generations(enum moment moment, int number)
{
    begin(PLAIN);
    for (int i = 0; i < number; i++) {
        if (i % 3)
            start(moment);
        pid_t pid = fork_child();
        if (pid) {
            wait_for(pid);
            _exit(0);
        }
    }
    is_as_quiet(0);
    _exit(0);
}

static void over_generations(enum moment moment)
{
    pid_t pid = fork_child();
    if (!pid)
        generations(moment, 10);
    wait_for(pid);
}

/* ------------------------------------------------------------------------------- forks by one who is inside -- */

struct visit {
    int forks; /* one inside the other */
    int is_child;
};

/* In a child nothing can be taken back before the visit has ended; but it does what it could do without all that. */
static int fork_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct visit *visit = argument;
    (void)key, (void)status, (void)id;
    if (!visit->forks--)
        return 1;
    pid_t pid = fork_child();
    if (pid) {
        wait_for(pid);
        if (visit->is_child)
            _exit(0);
        return 1;
    }
    visit->is_child = 1;
    CHECK_STATUS(insert(table, inode_key(STEADY), 1, 20), BID_OK);
    CHECK_STATUS(bid_remove(table, inode_key(STEADY)), BID_OK);
    bid_reclaim(table);
    look_up_steady();
    return fork_inside(visit, 0, 0, NULL);
}

static void inside_a_visit(enum moment moment, enum form form, int forks)
{
    struct visit visit = {.forks = forks};
    begin(form);
    pthread_t thread = start(moment);
    take_all_slots(table, form);
    CHECK(bid_iterate(table, fork_inside, &visit) == 1);
    give_slots_back(table);
    if (visit.is_child) {
        is_as_quiet(0);
        _exit(0);
    }
    end(thread);
}

/* The thread itself forks, as in a handler: in the child nobody may take away the array that it is working on. */
static int forked_at_the_moment;

static void fork_here(void)
{
    pid_t pid = fork_child();
    if (pid) {
        wait_for(pid);
        return;
    }
    forked_at_the_moment = 1;
    bid_reclaim(table);
    unsigned char present;
    CHECK(mincore(stopped.mapping, 1, &present) == 0); /* it is still mapped */
    CHECK_STATUS(insert(table, inode_key(STEADY), 1, 20), BID_OK);
    CHECK_STATUS(bid_remove(table, inode_key(STEADY)), BID_OK);
    bid_reclaim(table);
}

static void by_itself(enum moment moment)
{
    begin(PLAIN);
    CHECK_STATUS(shrink_table(table), BID_OK);
    stops_at = moment;
    when_stopped = fork_here;
    resize();
    CHECK(stops_at == NOWHERE);
    is_as_quiet(0);
    if (forked_at_the_moment)
        _exit(0);
}

int main(void)
{
    quiet = mmap(NULL, sizeof *quiet, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(quiet != MAP_FAILED);
    quiet_parent();
    for (enum moment moment = MAKING; moment < MOMENTS; moment++) {
        beside(moment);
        by_the_way(moment);
        over_generations(moment);
        for (enum form form = PLAIN; form < FORMS; form++)
            for (int forks = 1; forks <= 2; forks++)
                inside_a_visit(moment, form, forks);
        if (moment != FORESTALLED)
            by_itself(moment);
    }
    printf("the child of a quiet parent takes %lu entries, and so do all others\n", (unsigned long)*quiet);
    return 0;
}
