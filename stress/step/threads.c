/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Scenarios with more than one thread: pins, a helper that stands still, fork. */
#include "../common/stepper.h"
#include "scenarios.h"

#include "../../tests/c/check.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

static void stay(void)
{
    for (;;)
        pause();
}

static sem_t is_there;

/* A thread that stays; with a small stack, for there may be many. Returns when it has said that it is there. */
static void let_stay(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK(sem_init(&is_there, 0, 0) == 0 && pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 64 << 10) == 0);
    CHECK(pthread_create(&thread, &attributes, run, argument) == 0);
    CHECK(sem_wait(&is_there) == 0);
}

static int (*moment)(void);
static void *(*work)(void *);

static void stop_in_time(uint64_t address)
{
    (void)address;
    if (!moment())
        return;
    sem_post(&is_there);
    stay();
}

static void *stands_still(void *unused)
{
    stepper_begin();
    work(unused);
    stepper_end();
    CHECK(!"the moment did not come");
    return NULL;
}

void let_stand(void *(*run)(void *), int (*is_time)(void))
{
    work = run, moment = is_time;
    stepper_visit visit = stepper_install(stop_in_time);
    let_stay(stands_still, NULL);
    stepper_install(visit);
}

/* -------------------------------------------------------------------------------------------------- pins -- */

static pthread_key_t late;

static void step_a_lookup(void *result)
{
    judge_thread();
    stepper_begin();
    *(int *)result = look_up();
    stepper_end();
}

static void *begins(void *result)
{
    step_a_lookup(result);
    return NULL;
}

static void *ends(void *result)
{
    pthread_setspecific(late, result);
    return NULL;
}

static int in_thread(void *(*run)(void *))
{
    pthread_t thread;
    int result = BID_E_NULL;
    stepper_end();
    CHECK(pthread_create(&thread, NULL, run, &result) == 0 && pthread_join(thread, NULL) == 0);
    return result;
}

int first_pin(void)
{
    return in_thread(begins);
}

/* From a destructor of the thread's data: nothing of the thread runs later. */
int last_pin(void)
{
    CHECK(pthread_key_create(&late, step_a_lookup) == 0);
    return in_thread(ends);
}

static void *looked_up(void *unused)
{
    (void)unused;
    look_up();
    sem_post(&is_there);
    stay();
    return NULL;
}

static int stay_pinned(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    sem_post(&is_there);
    stay();
    return 1;
}

static void *reads_for_good(void *table)
{
    bid_iterate(table, stay_pinned, NULL);
    return NULL;
}

void let_read_for_good(struct bid_table *table)
{
    let_stay(reads_for_good, table);
}

/* Starts threads until each slot of the pin table belongs to one. */
static void fill_pin_table(void)
{
    struct bid_stats stats;
    do {
        for (int i = 0; i < 64; i++)
            let_stay(looked_up, NULL);
        stats = statistics(second);
    } while (stats.pin_slots_used < stats.pin_slots);
}

void prepare_full_pins(void)
{
    prepare_key();
    fill_pin_table();
}

/* Also starts readers until the temporary slots are taken: the next reader is only counted. */
static void fill_temporary_slots(void)
{
    fill_pin_table();
    for (int i = 0; i < 128; i++)
        let_read_for_good(second);
}

void prepare_overflow(void)
{
    prepare_key();
    fill_temporary_slots();
}

/* ------------------------------------------------------------------------------------------- the longest -- */

/* Inserts path_key(first), ... until their probe sequence is full. */
static uint64_t fill_path(uint64_t first)
{
    uint8_t id[20] = {1};
    uint64_t number = first;
    while (bid_insert_nmi(stepped, path_key(number), 1, id, sizeof id) == BID_OK)
        number++;
    return number;
}

/* Updates for NMI context migrate their key to the future array, and do not help with others. */
static void migrate(uint64_t number)
{
    uint8_t id[20];
    make_id(path_key(number), 1, id, sizeof id);
    CHECK_STATUS(bid_remove_nmi(stepped, path_key(number)), BID_OK);
    CHECK_STATUS(bid_insert_nmi(stepped, path_key(number), 1, id, sizeof id), BID_OK);
}

/* The longest lookup. In an array and in its future the probe sequence is full of other keys, which all have the tag of
 * the key in question, and the pin of the thread is only counted. */
void prepare_longest(void)
{
    uint64_t last = fill_path(100);
    prepare_resize();
    for (uint64_t number = 1; number <= NEIGHBOURS; number++)
        migrate(number);
    for (uint64_t number = 100; number < last; number++)
        migrate(number);
    fill_path(last);
    CHECK(last > 100 + BID_SEQUENCE_SLOTS / 2 && bid_resizing(stepped));
    fill_temporary_slots();
}

/* -------------------------------------------------------------------------------------------------- fork -- */

int in_child(int (*operate)(void))
{
    pid_t child = fork();
    if (child == 0) { /* with the trap flag set, as in the parent */
        int status = operate();
        stepper_end();
        _exit(status != BID_OK);
    }
    stepper_end();
    int result;
    CHECK(child > 0 && waitpid(child, &result, 0) == child);
    return WIFEXITED(result) && WEXITSTATUS(result) == 0 ? BID_OK : BID_E_NULL;
}

static int insert_another(void)
{
    return insert(stepped, inode_key(3000), 1, 20);
}

int forked(void)
{
    return in_child(insert_another);
}

static void *forks(void *result)
{
    judge_thread();
    stepper_begin();
    *(int *)result = forked();
    return NULL;
}

int forked_in_overflow(void)
{
    return in_thread(forks);
}
