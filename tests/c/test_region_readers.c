/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A slow reader in another process, over memory that is poisoned when it is given back. It stands still between the
 * read of the head and the look into that array, until the head has moved on; then the array must still be what it
 * was.
 *
 * With the flavor for readers elsewhere each answer is right. With the one of the process, which knows of no such
 * reader, some must be wrong: so the reader can tell, and it is the grace period that protects it.
 */
#define _GNU_SOURCE
#include "probe.h"

static struct bid_found slow_probe(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost);
#define bid_probe slow_probe
#include "../region/reader.c"
#undef bid_probe

#include "shared_region.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { STABLE = 500, CHURN = 64, MOVED_ENOUGH = 60, SECONDS = 20 };

/* Shared by both processes. `reading` is odd while the reader is in a lookup. */
struct control {
    _Atomic(uint64_t) reading, lookups, moved, wrong;
    _Atomic(int) ready, stop;
};
static struct control *control;
static struct shared_region shared;

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* ------------------------------------------------------------------------------------------------- reader -- */

static const struct bid_table *read_table; /* as the reader has it mapped */

/* Two heads later what was left first is freed, if nobody waits for this. */
static struct bid_found slow_probe(const struct bid_array *array, uint64_t key, struct bid_probe_cost *cost)
{
    uint64_t before = bid_resizes(read_table), until = milliseconds() + 50;
    while (bid_resizes(read_table) < before + 3 && milliseconds() < until && !control->stop)
        nap();
    control->moved += bid_resizes(read_table) >= before + 3;
    return bid_probe(array, key, cost);
}

static void read_slowly(void)
{
    struct bid_build_id id;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct bid_region *region = map_for_reading(&shared);
    CHECK(munmap(shared.memory, shared.bytes) == 0); /* nothing is read there */
    read_table = bid_region_here(region, (const char *)region->address + region->tables[0]);
    control->ready = 1;
    for (uint64_t i = 0; !control->stop; i++) {
        uint64_t key = inode_key(i % STABLE);
        control->reading++;
        int status = bid_region_lookup(region, 0, key, &id);
        control->wrong += status != BID_OK || !id_is(&id, key, 1, 20);
        control->reading++;
        control->lookups++;
    }
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------ updater -- */

static void poison(void *context, void **address, size_t bytes)
{
    memset(*address, 0xa5, bytes);
    shared.allocator.unmap(context, address, bytes);
}

/* Returns when the reader has left the lookup that it is in, if any. */
static void wait_for_reader(void)
{
    uint64_t reading = control->reading;
    while (reading % 2 && control->reading == reading && !control->stop)
        nap();
}

static void *observe(void *argument)
{
    struct bid_table *table = argument;
    while (!control->stop) {
        uint64_t number = bid_grace_begin(table);
        if (number) {
            wait_for_reader();
            bid_grace_end(table, number);
        }
        nap();
    }
    return NULL;
}

/* Resizes as fast as they go, until enough of the reader's lookups saw some. What waits for the reader may use up the
 * region's memory for a while: no update waits for that. */
static void resize_again_and_again(struct bid_table *table)
{
    uint64_t end = milliseconds() + SECONDS * 1000;
    for (uint64_t i = 0; control->moved < MOVED_ENOUGH && milliseconds() < end && control->wrong < 5; i++) {
        int status = i % 2 ? bid_shrink(table) : bid_reserve(table, 3000);
        CHECK(status == BID_OK || status == BID_UNCHANGED || status == BID_E_NO_MEMORY || status == BID_E_RETIRED);
        for (uint64_t churn = 0; churn < CHURN; churn++) {
            status = insert(table, inode_key(STABLE + churn), 2, 20);
            CHECK(status >= 0 || status == BID_E_NO_MEMORY || status == BID_E_RETIRED);
            bid_remove(table, inode_key(STABLE + churn));
        }
        if (waitpid(-1, &(int){0}, WNOHANG) > 0) { /* the reader came to an address that is none */
            control->wrong++;
            break;
        }
    }
}

/* Returns how many answers of the slow reader were wrong. */
static uint64_t run(const struct bid_flavor *flavor)
{
    shared = make_region(32 << 20);
    memset(control, 0, sizeof *control);
    struct bid_allocator poisoning = shared.allocator;
    poisoning.unmap = poison;
    struct bid_table *table =
        make_table((struct bid_options){.id_size = 20, .allocator = &poisoning, .flavor = flavor});
    CHECK_STATUS(bid_region_publish(shared.region, 0, table), BID_OK);
    for (uint64_t i = 0; i < STABLE; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    pid_t reader = fork();
    CHECK(reader >= 0);
    if (!reader)
        read_slowly();
    pthread_t observer;
    if (flavor == &bid_flavor_shared)
        CHECK(pthread_create(&observer, NULL, observe, table) == 0);
    while (!control->ready)
        nap();
    resize_again_and_again(table);
    control->stop = 1;
    if (flavor == &bid_flavor_shared)
        CHECK(pthread_join(observer, NULL) == 0);
    int status = 0;
    waitpid(reader, &status, 0);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
    printf("%llu lookups, %llu over moves of the head, %llu wrong\n", (unsigned long long)control->lookups,
           (unsigned long long)control->moved, (unsigned long long)control->wrong);
    CHECK(control->wrong || control->moved >= MOVED_ENOUGH);
    bid_destroy(table);
    give_up_region(&shared);
    return control->wrong;
}

int main(void)
{
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(control != MAP_FAILED);
    CHECK(run(&bid_flavor_shared) == 0);
    struct bid_flavor of_the_process = bid_platform_flavor;
    of_the_process.shared = 1; /* else the table is not published */
    CHECK(run(&of_the_process) > 0);
    return 0;
}
