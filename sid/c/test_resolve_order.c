/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A refresh whose reading is overtaken: what was published never goes back. The source of refreshes is compiled into
 * this program, with stops of ours at certain moments, at which another thread refreshes, reads or forks.
 */
#define _GNU_SOURCE
#include "../resolve/readings.h"
#include "../resolve/snapshot.h"

enum moment { NEVER, BEFORE_THE_TEXT, BEFORE_THE_FILES, AFTER_THE_EPOCH, IN_A_VISIT };

static void stop_at(enum moment moment);

static uint64_t stopping_epoch_pass(struct bid_pins *pins)
{
    uint64_t epoch = bid_epoch_pass(pins);
    stop_at(AFTER_THE_EPOCH);
    return epoch;
}

static int stopping_text_read(struct bid_maps_text *text)
{
    stop_at(BEFORE_THE_TEXT);
    return bid_maps_text_read(text);
}

static void stopping_read_files(struct bid_snapshot *snapshot)
{
    stop_at(BEFORE_THE_FILES);
    bid_snapshot_read_files(snapshot);
}

#define bid_epoch_pass stopping_epoch_pass
#define bid_maps_text_read stopping_text_read
#define bid_snapshot_read_files stopping_read_files
#include "../resolve/maps.c"
#undef bid_epoch_pass
#undef bid_maps_text_read
#undef bid_snapshot_read_files

#include "check.h"
#include "mapped_code.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

/* -------------------------------------------------------------------------------------- threads that stop -- */

struct stopping {
    pthread_t thread;
    enum moment moment; /* at which it stops once */
    sem_t stopped, go_on;
    int (*visit)(void); /* of a visitor, when it goes on */
};

static _Thread_local struct stopping *self;

static void stop_at(enum moment moment)
{
    if (!self || self->moment != moment)
        return;
    self->moment = NEVER;
    sem_post(&self->stopped);
    while (sem_wait(&self->go_on) != 0)
        ;
}

static void *slow_refresh(void *argument)
{
    self = argument;
    CHECK(bid_maps_refresh(maps) >= 0);
    return NULL;
}

static int visit(void *argument, const struct bid_mapping *mapping)
{
    char before[256], after[256];
    (void)argument;
    snprintf(before, sizeof before, "%s", mapping->path);
    stop_at(IN_A_VISIT);
    snprintf(after, sizeof after, "%s", mapping->path); /* freed memory would fault */
    CHECK(strcmp(before, after) == 0);
    if (self->visit)
        CHECK(self->visit());
    return 1;
}

static void *slow_visit(void *argument)
{
    self = argument;
    CHECK(bid_maps_iterate(maps, visit, NULL, NULL) == 1);
    return NULL;
}

static void begin(struct stopping *stopping, void *(*what)(void *), enum moment moment)
{
    stopping->moment = moment;
    stopping->visit = NULL;
    CHECK(sem_init(&stopping->stopped, 0, 0) == 0 && sem_init(&stopping->go_on, 0, 0) == 0);
    CHECK(pthread_create(&stopping->thread, NULL, what, stopping) == 0);
    while (sem_wait(&stopping->stopped) != 0)
        ;
}

static void go_on(struct stopping *stopping)
{
    sem_post(&stopping->go_on);
    CHECK(pthread_join(stopping->thread, NULL) == 0);
}

/* ----------------------------------------------------------------------------------------------- the tests -- */

static uint64_t code;

static void may_run(int executable)
{
    CHECK(mprotect((char *)(uintptr_t)code, PAGE, executable ? PROT_READ | PROT_EXEC : PROT_READ) == 0);
}

/* The newer reading begins after the call of the slow refresh: that has nothing left to do. */
static void overtaken(void)
{
    struct stopping slow;
    may_run(0);
    begin(&slow, slow_refresh, BEFORE_THE_FILES); /* it has read that there is no code */
    may_run(1);
    refresh();
    check_code(code, 1, 20);
    go_on(&slow);
    check_code(code, 1, 20);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

/* The newer reading began before the call of the slow refresh, and ended after that had read: it reads again. */
static void overlapped(void)
{
    struct stopping newer, slow;
    begin(&newer, slow_refresh, BEFORE_THE_TEXT);
    may_run(0);
    begin(&slow, slow_refresh, BEFORE_THE_FILES); /* it has read that there is no code */
    may_run(1);
    go_on(&newer);
    check_code(code, 1, 20);
    go_on(&slow);
    check_code(code, 1, 20);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

/* A reading that changes nothing, while an older one that would is about to be published: it
 * is published all the same. */
static void equal_but_newer(void)
{
    struct stopping slow;
    may_run(0);
    begin(&slow, slow_refresh, BEFORE_THE_FILES);
    may_run(1);
    CHECK_STATUS(bid_maps_refresh(maps), BID_OK);
    go_on(&slow);
    check_code(code, 1, 20);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

static int code_is_known(void)
{
    return reason_of(code) == BID_RESOLVED;
}

/* Whoever pins after a snapshot was retired has the next one: the old one may be freed under it. */
static void pinned_after(void)
{
    struct stopping slow, visitor;
    may_run(0);
    begin(&slow, slow_refresh, AFTER_THE_EPOCH);
    begin(&visitor, slow_visit, IN_A_VISIT);
    go_on(&slow);
    CHECK(bid_maps_waiting(maps) == 0);
    go_on(&visitor);
    may_run(1);
    refresh();
}

/* The entries of a snapshot stay in the table for as long as a reader may be in it. */
static void entries_stay(void)
{
    struct stopping visitor;
    begin(&visitor, slow_visit, IN_A_VISIT);
    visitor.visit = code_is_known;
    const struct bid_snapshot *old = bid_load(&maps->current, BID_M_ACQUIRE);
    may_run(0);
    refresh();
    refresh();
    CHECK(bid_maps_waiting(maps) >= 1);
    for (uint64_t i = 0; i < old->file_count; i++) {
        struct bid_build_id id;
        if (old->files[i].status == BID_OK)
            CHECK_STATUS(bid_inode_lookup(maps->table, &old->files[i].inode, &id), BID_OK);
    }
    may_run(1);
    refresh();
    go_on(&visitor);
    refresh();
    refresh();
    CHECK(bid_maps_waiting(maps) == 0);
}

/* ------------------------------------------------------------------------------------------------- forks -- */

/* Equal readings are not published in a child either, whoever was in a refresh at the fork. */
static void child_is_quiet(void)
{
    refresh();
    uint64_t published = bid_maps_published(maps);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    CHECK(bid_maps_published(maps) == published);
}

static void check_child(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void forked_beside_a_refresh(void)
{
    struct stopping slow;
    begin(&slow, slow_refresh, BEFORE_THE_FILES);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        child_is_quiet();
        _exit(0);
    }
    check_child(child);
    go_on(&slow);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

static pid_t forked;

/* In the place of a handler that interrupts the refresh. */
static void *refresh_and_fork(void *argument)
{
    struct stopping *stopping = self = argument;
    CHECK(bid_maps_refresh(maps) >= 0);
    if (forked == 0) {
        alarm(20);
        child_is_quiet();
        _exit(0);
    }
    return stopping;
}

static void fork_here(int signal)
{
    (void)signal;
    pid_t pid = fork();
    CHECK(pid >= 0);
    __atomic_store_n(&forked, pid, __ATOMIC_RELEASE); /* pairs with the load in forked_inside_a_refresh() */
    if (pid == 0)
        sem_post(&self->go_on); /* the thread that would is not there */
}

static void forked_inside_a_refresh(void)
{
    struct stopping inside;
    struct sigaction action = {.sa_handler = fork_here};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    forked = -1;
    begin(&inside, refresh_and_fork, BEFORE_THE_FILES);
    CHECK(pthread_kill(inside.thread, SIGUSR1) == 0);
    for (int i = 0; i < 2000 && __atomic_load_n(&forked, __ATOMIC_ACQUIRE) < 0; i++)
        usleep(5000);
    go_on(&inside);
    check_child(forked);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

int main(void)
{
    begin_mapping();
    make_elf(in_directory("plain"), 1, 20);
    code = map_code(in_directory("plain"), NULL);
    refresh();
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    overtaken();
    overlapped();
    equal_but_newer();
    pinned_after();
    entries_stay();
    forked_beside_a_refresh();
    forked_inside_a_refresh();
    bid_maps_destroy(maps);
    remove_directory();
    return 0;
}
