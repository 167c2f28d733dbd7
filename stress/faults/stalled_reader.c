/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A reader stands still for a while, with churn beside it: in the middle of an iteration, or in the middle of a lookup,
 * where a signal handler holds it. Memory that it might be reading cannot be freed; what waits stays under its limit,
 * updates that would need more say BID_E_RETIRED, and lookups go on. When it goes on, so do they.
 *
 * Usage: stalled_reader SECONDS (each way)
 */
#define _GNU_SOURCE
#include "faults.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define STAY 300
#define CHURNED 3000
#define RETIRED_LIMIT (1 << 20)

static struct bid_table *table;
static atomic_int standing, go_on, stop;

static struct {
    uint64_t updates, refused, lookups, most_retired, most_resident;
} tally;

static double seconds_now(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Async-signal-safe, so that it also serves in a handler. */
static void stand_still(void)
{
    atomic_store(&standing, 1);
    while (!atomic_load(&go_on))
        pause_briefly();
    atomic_store(&standing, 0);
}

static int visit(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    stand_still();
    return 1;
}

static void *in_an_iteration(void *argument)
{
    CHECK(bid_iterate(table, visit, NULL) == 1);
    return argument;
}

static void on_signal(int signal)
{
    (void)signal;
    stand_still();
}

/* It does nothing but look up, so a signal finds it in a lookup. */
static void *in_a_lookup(void *argument)
{
    uint64_t key = inode_key(1), misses = 0;
    while (!atomic_load(&stop)) {
        struct bid_build_id id;
        misses += bid_lookup(table, key, &id) != BID_OK;
    }
    CHECK(misses == 0);
    return argument;
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu %lu", &pages, &resident) == 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure(void)
{
    uint64_t retired = statistics(table).bytes_retired, resident = resident_bytes();
    CHECK(retired <= RETIRED_LIMIT);
    if (retired > tally.most_retired)
        tally.most_retired = retired;
    if (resident > tally.most_resident)
        tally.most_resident = resident;
}

/* Returns whether the update was refused. */
static int churn_one(uint64_t turn)
{
    uint64_t key = inode_key(STAY + turn % CHURNED);
    int status = turn / CHURNED % 2 ? bid_remove(table, key) : insert(table, key, 1, 20);
    CHECK(status >= 0 || status == BID_E_RETIRED);
    tally.updates += status >= 0;
    tally.refused += status < 0;
    return status < 0;
}

static void churn(double seconds)
{
    double end = seconds_now() + seconds;
    for (uint64_t turn = 0; seconds_now() < end; turn++) {
        churn_one(turn);
        if (turn % 1000)
            continue;
        check_entries(table, 0, STAY);
        tally.lookups += STAY;
        measure();
    }
}

/* Whether it stands where it holds up memory: a signal may have come just before or after a lookup. */
static int holds_up(void)
{
    uint64_t refused = tally.refused;
    for (uint64_t turn = 0; turn < 100 * CHURNED && tally.refused == refused; turn++)
        churn_one(turn);
    return tally.refused != refused;
}

static void let_go_on(void)
{
    atomic_store(&go_on, 1);
    while (atomic_load(&standing))
        pause_briefly();
}

static void stall_in_a_lookup(pthread_t reader)
{
    do {
        let_go_on();
        atomic_store(&go_on, 0);
        CHECK(pthread_kill(reader, SIGUSR1) == 0);
        while (!atomic_load(&standing))
            pause_briefly();
    } while (!holds_up());
}

/* It went on: nothing waits any more, and every update succeeds. */
static void recover(pthread_t reader)
{
    let_go_on();
    atomic_store(&stop, 1);
    CHECK(pthread_join(reader, NULL) == 0);
    CHECK(bid_reclaim(table) == 0);
    uint64_t refused = tally.refused;
    for (uint64_t turn = 0; turn < 20 * CHURNED; turn++)
        churn_one(turn);
    CHECK(tally.refused == refused);
    check_entries(table, 0, STAY);
    CHECK(bid_reclaim(table) == 0);
}

static void stall(const char *name, void *(*run)(void *), double seconds)
{
    char text[64];
    pthread_t reader;
    memset(&tally, 0, sizeof tally);
    atomic_store(&go_on, 0);
    atomic_store(&stop, 0);
    table = make_table((struct bid_options){.id_size = 20, .retired_limit = RETIRED_LIMIT});
    for (uint64_t i = 0; i < STAY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    uint64_t resident = resident_bytes();
    CHECK(pthread_create(&reader, NULL, run, NULL) == 0);
    if (run == in_a_lookup)
        stall_in_a_lookup(reader);
    churn(seconds);
    CHECK(tally.refused > 0);
    recover(reader);
    bid_destroy(table);
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {{"updates", tally.updates},
                   {"refused", tally.refused},
                   {"lookups", tally.lookups},
                   {"most_bytes_retired", tally.most_retired},
                   {"most_bytes_more_resident", tally.most_resident - resident}};
    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++) {
        snprintf(text, sizeof text, "%s_%s", name, figures[i].name);
        figure(text, figures[i].value);
    }
    CHECK(tally.most_resident - resident < 8 * RETIRED_LIMIT);
}

int main(int argc, char **argv)
{
    double seconds = (double)parameter(argc, argv, 1);
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    figure("bytes_retired_limit", RETIRED_LIMIT);
    stall("iteration", in_an_iteration, seconds);
    stall("lookup", in_a_lookup, seconds);
    return 0;
}
