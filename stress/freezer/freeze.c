/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread is stopped for good after instruction k of an operation, for every k; another thread must then finish
 * thousands of operations of every kind, growing and shrinking included, and find every entry. Lock-freedom as a test.
 *   freeze DESIGN OPERATION FIRST STRIDE LIMIT    prints what was found as JSON
 *
 * A process of its own for each k, since what is stopped in it stays. One that does not finish is ended by an alarm, and
 * the design is blocked: the search stops there.
 */
#include "../stepper/stepper.h"

#include "../../csrc/rivals/rivals.h"
#include "../../tests/c/check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES 300
#define OTHERS 1000
#define VICTIM inode_key(5)
#define SECONDS 10 /* for what takes some milliseconds */
#define ENDED 3    /* exit status: the operation has fewer instructions */

static const struct bid_design *const designs[] = {&bid_design_ours, &bid_design_spinlock};
static const struct bid_design *design;
static void *table;

static int put(uint64_t key, uint32_t version, int (*how)(void *, uint64_t, uint32_t, const void *, size_t))
{
    uint8_t id[20];
    make_id(key, version, id, sizeof id);
    return how(table, key, version, id, sizeof id);
}

/* --------------------------------------------------------------------------------- what the victim is in -- */

static void in_insert(void)
{
    put(inode_key(ENTRIES + 1), 1, design->insert);
}

static void in_replace(void)
{
    put(VICTIM, 2, design->replace);
}

static void in_remove(void)
{
    design->remove(table, VICTIM);
}

static void in_lookup(void)
{
    struct bid_build_id id;
    design->lookup(table, VICTIM, &id, NULL);
}

static void in_grow(void)
{
    if (design->reserve)
        design->reserve(table, 4 * ENTRIES);
}

static void in_shrink(void)
{
    if (design->shrink)
        design->shrink(table);
}

static const struct {
    const char *name;
    void (*act)(void);
    uint64_t room; /* of the table, to begin with */
} operations[] = {
    {"insert", in_insert, ENTRIES + 50}, {"replace", in_replace, ENTRIES + 50}, {"remove", in_remove, ENTRIES + 50},
    {"lookup", in_lookup, ENTRIES + 50}, {"grow", in_grow, ENTRIES + 50},       {"shrink", in_shrink, 2 * ENTRIES},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

static void (*act)(void);
static uint64_t stop_at, executed;
static _Atomic(int) stopped, ended;

static void on_instruction(uint64_t address)
{
    (void)address;
    if (++executed != stop_at)
        return;
    stopped = 1;
    for (;;)
        pause();
}

static void *victim(void *unused)
{
    (void)unused;
    stepper_begin();
    act();
    stepper_end();
    ended = 1;
    return NULL;
}

/* ------------------------------------------------------------------------------------------- the others -- */

/* The victim's own key may be in the state before or after; nobody else touches it. */
static void look(uint64_t key, uint32_t version)
{
    struct bid_build_id id;
    int status = design->lookup(table, key, &id, NULL);
    if (key != VICTIM)
        CHECK(status == BID_OK && id_is(&id, key, version, 20));
}

static void work(void)
{
    for (uint64_t i = 0; i < OTHERS; i++)
        CHECK_STATUS(put(inode_key(5000 + i), 1, design->insert), BID_OK);
    for (uint64_t i = 0; i < OTHERS; i++)
        CHECK_STATUS(put(inode_key(5000 + i), 2, design->replace), BID_OK);
    for (uint64_t i = 0; i < OTHERS; i++)
        look(inode_key(5000 + i), 2);
    if (design->reserve)
        CHECK_STATUS(design->reserve(table, 20 * OTHERS), BID_OK);
    for (uint64_t i = 0; i < OTHERS; i++)
        CHECK_STATUS(design->remove(table, inode_key(5000 + i)), BID_OK);
    if (design->shrink)
        CHECK_STATUS(design->shrink(table), BID_OK);
    for (uint64_t i = 0; i < ENTRIES; i++)
        look(inode_key(i), 1);
    put(VICTIM, 9, design->insert);
    if (design == &bid_design_ours)
        CHECK(statistics(table).bytes_retired < (32 << 20)); /* four times the largest array, and 16 MiB */
}

static void one(void)
{
    pthread_t thread;
    alarm(SECONDS);
    for (uint64_t i = 0; i < ENTRIES; i++)
        CHECK_STATUS(put(inode_key(i), 1, design->insert), BID_OK);
    CHECK(pthread_create(&thread, NULL, victim, NULL) == 0);
    while (!stopped && !ended)
        usleep(100);
    if (ended)
        _exit(ENDED);
    work();
    _exit(0);
}

int main(int count, char **arguments)
{
    CHECK(count == 6);
    size_t o = 0, d = 0;
    while (d < 2 && strcmp(designs[d]->name, arguments[1]) != 0)
        d++;
    while (o < OPERATIONS && strcmp(operations[o].name, arguments[2]) != 0)
        o++;
    CHECK(d < 2 && o < OPERATIONS);
    uint64_t first = strtoull(arguments[3], NULL, 10), stride = strtoull(arguments[4], NULL, 10);
    uint64_t limit = strtoull(arguments[5], NULL, 10), points = 0, k = first;
    int result = 0;
    design = designs[d];
    act = operations[o].act;
    stepper_install(on_instruction);
    for (; k <= limit && result == 0; k += stride, points++) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            table = design->create(operations[o].room, 7);
            CHECK(table != NULL);
            stop_at = k;
            one();
        }
        CHECK(waitpid(child, &result, 0) == child);
    }
    int done = WIFEXITED(result) && WEXITSTATUS(result) == ENDED,
        blocked = WIFSIGNALED(result) && WTERMSIG(result) == SIGALRM;
    printf(
        "{\"design\": \"%s\", \"operation\": \"%s\", \"points\": %lu, \"last\": %lu, \"whole\": %s, \"blocked\": %d, "
        "\"wrong\": %d}\n",
        design->name, operations[o].name, (unsigned long)points - (result != 0), (unsigned long)(k - stride),
        done ? "true" : "false", blocked, result != 0 && !done && !blocked);
    return 0;
}
