/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Pins of every form: of a slot for life, plain and fenced, of a temporary slot, in the overflow, and nested ones. Each
 * keeps what its thread reads across resizes and across a fork, in the parent and in the child, but no longer.
 *
 * The lookup path is compiled into this program, with calls of ours where a key's bucket is fetched and where a pin is
 * left. The handlers of forks are there twice, as when two threads make the first tables at once.
 */
#define _GNU_SOURCE
#include <pthread.h>

static void fork_again(void);

/* Ours is there first, so it comes last before a fork. */
static int register_twice(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int error = pthread_atfork(fork_again, NULL, NULL);
    error = error ? error : pthread_atfork(prepare, parent, child);
    return error ? error : pthread_atfork(prepare, parent, child);
}

#define BID_PLATFORM_MODEL /* bid_platform_prefetch() is ours */
#include "pin.h"

static void (*when_left)(struct bid_pin pin);
static void leave(struct bid_pin pin)
{
    if (when_left)
        when_left(pin);
    bid_pin_leave(pin);
}
#define bid_pin_leave leave
#include "lookup.c"
#undef bid_pin_leave

#define pthread_atfork register_twice
#include "../process/pins.c"
#undef pthread_atfork

#include "check.h"
#include "pin_forms.h"
#include "update.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

uintptr_t bid_platform_thread(void)
{
    return (uintptr_t)__builtin_thread_pointer();
}

void bid_platform_compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static void (*when_fetched)(void);
void bid_platform_prefetch(const void *address)
{
    (void)address;
    if (when_fetched)
        when_fetched();
}

static const char *const names[FORMS] = {"plain", "fenced", "temporary", "crowd"};

static struct bid_table *table;

static void begin(enum form form)
{
    table = make_for(form, (struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    take_all_slots(table, form);
}

static void end(void)
{
    give_slots_back(table);
    CHECK(bid_reclaim(table) == 0 && bid_retired_arrays(table) == 0);
    bid_destroy(table);
}

/* --------------------------------------------------------------------------------- across resizes and forks -- */

/* Leaves the array that is the head, which a reader keeps, and nobody else. */
static void move_on(void)
{
    uint64_t resizes = bid_resizes(table), slots = statistics(table).slots;
    CHECK_STATUS(slots < 100000 ? bid_reserve(table, 100000) : bid_shrink(table), BID_OK);
    CHECK(bid_resizes(table) == resizes + 1);
    bid_reclaim(table);
}

static void wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        ;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int is_child, nested_forks;

static void fork_here(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid)
        wait_for(pid);
    else
        is_child = 1, alarm(60);
}

/* As in a handler that interrupts a fork. Its child goes on with that fork as well. */
static void fork_again(void)
{
    if (nested_forks) {
        nested_forks--;
        fork_here();
    }
}

/* Each level of a visit moves the table on, begins the next level, and moves on again. */
struct levels {
    int now, deepest, forks, nested;
};

static int descend(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    struct levels *levels = argument;
    (void)key, (void)status, (void)id;
    unsigned before = bid_retired_arrays(table);
    move_on();
    CHECK(bid_retired_arrays(table) == before + 1);
    if (++levels->now < levels->deepest)
        CHECK(bid_iterate(table, descend, levels) == 1);
    if (levels->now == levels->deepest && levels->forks) {
        levels->forks--;
        nested_forks = levels->nested;
        fork_here();
    }
    before = bid_retired_arrays(table);
    CHECK(before >=
          (unsigned)levels->deepest); /* the outermost visit is in the first array, and keeps all that came after */
    move_on();
    CHECK(bid_retired_arrays(table) == before + 1);
    return 1;
}

/* The child of a thread that reads nothing is held up by nobody. */
static void fork_outside(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        alarm(60);
        move_on();
        CHECK(bid_retired_arrays(table) == 0);
        _exit(0);
    }
    wait_for(pid);
}

/* The child goes on with the visits that it was forked in, and then is rid of everything, too. */
static void across(enum form form, int deepest, int forks, int nested)
{
    struct levels levels = {.deepest = deepest, .forks = forks, .nested = nested};
    begin(form);
    CHECK(bid_iterate(table, descend, &levels) == 1);
    if (nested)
        fork_outside();
    end();
    if (is_child)
        _exit(0);
}

/* ------------------------------------------------------------------------------------- a slot that changes hands -- */

static atomic_int inside, go_on;

static int stay(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    atomic_fetch_add(&inside, 1);
    while (!atomic_load(&go_on))
        sched_yield();
    return 1;
}

static void *read_on(void *argument)
{
    take_slots(table, TEMPORARY, 1); /* its own window; of the temporary slots they all may have the first */
    CHECK(bid_iterate(table, stay, NULL) == 1);
    return argument;
}

static pthread_t other;

static void start_other(void)
{
    int before = atomic_load(&inside);
    CHECK(pthread_create(&other, NULL, read_on, NULL) == 0);
    while (atomic_load(&inside) == before)
        sched_yield();
}

static void hand_over(struct bid_pin pin)
{
    if (pin.slot != temporary_slot(table, 0))
        return;
    when_left = NULL;
    start_other();
}

/* Another thread begins to read when this one is about to leave the only temporary slot: it must not lose its pin by
 * that. */
static void temporary_slot_is_handed_over(void)
{
    struct bid_build_id id;
    begin(TEMPORARY);
    take_slots(table, TEMPORARY, 1);
    when_left = hand_over;
    CHECK_STATUS(bid_lookup(table, 1, &id), BID_OK);
    CHECK(!when_left);
    move_on();
    CHECK(bid_retired_arrays(table) == 1);
    atomic_store(&go_on, 1);
    CHECK(pthread_join(other, NULL) == 0);
    atomic_store(&go_on, 0);
    end();
}

/* ------------------------------------------------------------------------------------------ others at a fork -- */

/* While other threads read in every form, the child of a thread that does not is held up by none of them. */
static void fork_beside_readers(enum form form)
{
    begin(form);
    start_other();
    if (form == CROWD && bid_pin_overflow(bid_platform_thread()) == bid_pin_overflow((uintptr_t)other))
        start_other(); /* those two share a counter: what one adds, the other's child has as well */
    fork_outside();
    atomic_store(&go_on, 1);
    CHECK(pthread_join(other, NULL) == 0);
    atomic_store(&go_on, 0);
    end();
}

/* ----------------------------------------------------------------------------------------------- many at once -- */

#define KEYS 600 /* more than one pin is held for */

static unsigned fetches, resizes_inside;

/* The array that the bulk lookup reads stays, whatever comes after it. */
static void resize_inside(void)
{
    if (++fetches % 300)
        return;
    when_fetched = NULL; /* updates fetch as well */
    move_on();
    CHECK(bid_retired_arrays(table) >= 1);
    resizes_inside++;
    when_fetched = resize_inside;
}

/* Every CHANGED-th key has version 2. */
#define CHANGED 31
static void look_many_up(int changed)
{
    static uint64_t keys[KEYS];
    static uint8_t ids[KEYS][20], lengths[KEYS], expected[20];
    for (uint64_t i = 0; i < KEYS; i++)
        keys[i] = inode_key(i);
    CHECK(bid_lookup_many(table, keys, KEYS, ids[0], sizeof ids[0], lengths) == KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        make_id(keys[i], changed && i % CHANGED == 0 ? 2 : 1, expected, sizeof expected);
        CHECK(lengths[i] == 20 && memcmp(ids[i], expected, sizeof expected) == 0);
    }
}

static void begin_with_keys(enum form form)
{
    begin(form);
    for (uint64_t i = 0; i < KEYS; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
}

static void many_across_resizes(enum form form)
{
    begin_with_keys(form);
    fetches = resizes_inside = 0;
    when_fetched = resize_inside;
    look_many_up(0);
    when_fetched = NULL;
    CHECK(resizes_inside >= 3);
    end();
}

/* In the midst of a resize: keys are in the head, in the future array, or changed there. */
static void many_in_a_resize(enum form form)
{
    uint8_t id[20];
    begin_with_keys(form);
    for (uint64_t i = KEYS; !bid_resizing(table); i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    for (uint64_t i = 0; i < KEYS; i += CHANGED) {
        make_id(inode_key(i), 2, id, sizeof id);
        CHECK_STATUS(bid_replace(table, inode_key(i), 2, id, sizeof id), BID_OK);
    }
    CHECK(bid_resizing(table));
    look_many_up(1);
    end();
}

int main(void)
{
    for (enum form form = PLAIN; form < FORMS; form++) {
        printf("%s pins\n", names[form]);
        fflush(stdout);
        for (int deepest = 1; deepest <= 3; deepest++)
            for (int forks = 0; forks <= 2; forks++)
                for (int nested = 0; nested <= (deepest == 2 && forks == 1); nested++)
                    across(form, deepest, forks, nested);
        fork_beside_readers(form);
        many_across_resizes(form);
        many_in_a_resize(form);
    }
    temporary_slot_is_handed_over();
    return 0;
}
