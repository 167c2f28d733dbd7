/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Answers beside an updater, for one design (-DDESIGN=bid_design_seqcount): a thread replaces the IDs of some keys, and
 * inserts and removes others between them, so that entries move; another one looks the keys up that stay. An ID is 20
 * bytes of one value that tells its key, so an answer that is made of two, or is another key's, shows.
 *
 *     torn_answers MILLISECONDS
 *
 * Exit status: 0 all answers were right, 1 one was wrong (said on standard output), 77 not to be checked here.
 */
#define _GNU_SOURCE
#include "rivals.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STAY 16
#define OTHERS 3000
#define LENGTH 20

static const struct bid_design *const design = &DESIGN;
static void *table;
static atomic_int stop;
static int processors[2];

static void pin_to(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int find_processors(void)
{
    cpu_set_t set;
    int found = 0;
    sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &set))
            processors[found++] = i;
    return found == 2;
}

static uint64_t key_of(unsigned i)
{
    return 0xffff888100000000 + i * 1128ull;
}

static void check(int ok, const char *what)
{
    if (!ok) {
        printf("%s: %s failed\n", design->name, what);
        exit(2);
    }
}

/* A reader that the system has put aside may delay the table's updates. */
#define CHECK_UPDATE(call, what)                                                                                       \
    do {                                                                                                               \
        int status_;                                                                                                   \
        while ((status_ = (call)) == BID_E_RETIRED)                                                                    \
            sched_yield();                                                                                             \
        check(status_ == BID_OK, what);                                                                                \
    } while (0)

static void *update(void *argument)
{
    uint8_t id[LENGTH], other[LENGTH] = {0};
    (void)argument;
    pin_to(processors[1]);
    for (unsigned turn = 0; !atomic_load(&stop); turn++) {
        for (unsigned i = 0; i < STAY; i++) {
            memset(id, (int)(i + STAY * (turn % (256 / STAY))), sizeof id);
            CHECK_UPDATE(design->replace(table, key_of(i), 0, id, sizeof id), "replace");
        }
        uint64_t come_and_go = key_of(STAY + turn % OTHERS);
        CHECK_UPDATE(design->insert(table, come_and_go, 0, other, sizeof other), "insert");
        CHECK_UPDATE(design->remove(table, come_and_go), "remove");
    }
    return NULL;
}

static int is_right(unsigned i)
{
    struct bid_build_id id;
    int status = design->lookup(table, key_of(i), &id, NULL);
    if (status == RIVAL_BUSY)
        return 1;
    if (status != BID_OK || id.length != LENGTH || id.bytes[0] % STAY != i)
        return 0;
    for (unsigned j = 1; j < LENGTH; j++)
        if (id.bytes[j] != id.bytes[0])
            return 0;
    return 1;
}

static int look(uint64_t milliseconds)
{
    struct timespec begin, now;
    unsigned i = 0;
    pin_to(processors[0]);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (unsigned n = 0; n < 10000; n++)
            if (!is_right(i++ % STAY))
                return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((uint64_t)((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000) < milliseconds);
    return 1;
}

int main(int count, char **arguments)
{
    pthread_t updater;
    uint8_t id[LENGTH] = {0};
    if (count != 2)
        return 2;
    if (!find_processors()) {
        puts("needs a second processor");
        return 77;
    }
    table = design->create(STAY, 1);
    for (unsigned i = 0; i < STAY; i++) {
        memset(id, (int)i, sizeof id);
        check(design->insert(table, key_of(i), 0, id, sizeof id) == BID_OK, "insert");
    }
    check(pthread_create(&updater, NULL, update, NULL) == 0, "pthread_create()");
    int right = look(strtoull(arguments[1], NULL, 10));
    atomic_store(&stop, 1);
    pthread_join(updater, NULL);
    design->destroy(table);
    if (!right)
        printf("%s: a wrong answer beside an updater\n", design->name);
    return !right;
}
