/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A handler that updates the key which the interrupted operation is about, at exactly one instruction of it: for each
 * instruction a child of a fork does so, and the interrupted operation then goes on there, to its end.
 *
 * The handler looks the key up, updates it twice, and looks it up again; a last look comes after the operation. What
 * all of them say must be what they say if the operation is done in one piece: before them, between two of them, or
 * after them. So these few histories are tried first, in children as well.
 */
#define _GNU_SOURCE
#include "collide.h"
#include "../common/stepper.h"
#include "../common/watchdog.h"

#include "../../tests/c/check.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define VERSION 9  /* that the handler gives the key */
#define SECONDS 60 /* for what takes milliseconds, and a few seconds where it is stepped */

/* ----------------------------------------------------------------------------------- what the handler does -- */

static uint64_t key;
static uint64_t (*version)(uint64_t key); /* as the operation's readers see it */
static int in_order; /* not in a handler: then the same in thread context, where room is made if there is none */

static int insert_in_nmi(void)
{
    uint8_t id[20];
    make_id(key, VERSION, id, sizeof id);
    return (in_order ? bid_insert : bid_insert_nmi)(stepped, key, VERSION, id, sizeof id);
}

static int remove_in_nmi(void)
{
    return (in_order ? bid_remove : bid_remove_nmi)(stepped, key);
}

static void *store(void *status)
{
    uint8_t id[20];
    make_id(key, VERSION, id, sizeof id);
    *(int *)status = bid_upsert(stepped, key, VERSION, id, sizeof id);
    return NULL;
}

static void *grow(void *status)
{
    *(int *)status = bid_reserve(stepped, 6000);
    return NULL;
}

int in_another_thread(void *(*run)(void *))
{
    pthread_t thread;
    int status;
    CHECK(pthread_create(&thread, NULL, run, &status) == 0 && pthread_join(thread, NULL) == 0);
    return status;
}

static int store_by_another(void)
{
    return in_another_thread(store);
}

static int grow_by_another(void)
{
    return in_another_thread(grow);
}

static const struct race *race; /* of a scenario of kind RACED */

static int what_the_race_says(void)
{
    return race->meanwhile();
}

static int nothing_more(void)
{
    return BID_OK;
}

#define UPDATES 2
static int (*const ways[][UPDATES])(void) = {
    {insert_in_nmi, remove_in_nmi},
    {remove_in_nmi, insert_in_nmi},
    {store_by_another, grow_by_another},
    {what_the_race_says, nothing_more}, /* of scenarios of kind RACED, and no other way of these */
};
#define WAYS (sizeof ways / sizeof ways[0])

static size_t first_way, last_way;

static void choose_ways(const struct scenario *scenario)
{
    race = scenario->kind == RACED ? race_of(scenario) : NULL;
    first_way = race ? WAYS - 1 : 0;
    last_way = race ? WAYS - 1 : WAYS - 2;
}

/* ------------------------------------------------------------------------------------------------ stories -- */

/* What everybody was told. Updates from a handler may be refused at any time; they have done nothing then. */
struct story {
    uint64_t before, after, last;
    int64_t updates[UPDATES], status;
};

enum moment { LOOK_BEFORE, FIRST, SECOND, LOOK_AFTER, MOMENTS };
#define REFUSALS (1u << UPDATES) /* a set of updates */

static struct story (*legal)[REFUSALS][MOMENTS + 1]; /* by way, refused updates, and when the operation was done */

static void tell(struct story *story, enum moment moment, size_t way, unsigned refused)
{
    if (moment == LOOK_BEFORE)
        story->before = version(key);
    else if (moment == LOOK_AFTER)
        story->after = version(key);
    else if (refused >> (moment - FIRST) & 1)
        story->updates[moment - FIRST] = BID_E_WOULD_ALLOCATE;
    else
        story->updates[moment - FIRST] = ways[way][moment - FIRST]();
}

static void tell_in_order(const struct scenario *scenario, size_t way, unsigned refused, unsigned when,
                          struct story *story)
{
    in_order = 1;
    for (unsigned moment = 0; moment <= MOMENTS; moment++) {
        if (moment == when)
            story->status = scenario->operate();
        if (moment < MOMENTS)
            tell(story, moment, way, refused);
    }
    story->last = version(key);
}

static void wait_for(pid_t child, const char *what)
{
    int result;
    CHECK(child > 0 && waitpid(child, &result, 0) == child);
    if (watchdog_bit(result))
        judge_wrong("an operation without end", key, (uint64_t)SECONDS);
    else if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        judge_wrong(what, key, (uint64_t)result);
}

static void find_legal(const struct scenario *scenario)
{
    legal = mmap(NULL, WAYS * sizeof *legal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(legal != MAP_FAILED);
    for (size_t way = first_way; way <= last_way; way++)
        for (unsigned refused = 0; refused < REFUSALS; refused++)
            for (unsigned when = 0; when <= MOMENTS; when++) {
                pid_t child = fork();
                if (child == 0) {
                    watchdog(SECONDS);
                    tell_in_order(scenario, way, refused, when, &legal[way][refused][when]);
                    _exit(0);
                }
                wait_for(child, "a process ended with an error, in which nothing was interrupted");
            }
}

static int is_legal(const struct story *story, size_t way)
{
    for (unsigned refused = 0; refused < REFUSALS; refused++)
        for (unsigned when = 0; when <= MOMENTS; when++)
            if (memcmp(story, &legal[way][refused][when], sizeof *story) == 0)
                return 1;
    return 0;
}

/* --------------------------------------------------------------------------------------------- the visits -- */

static struct {
    uint64_t every, phase, stepped;
} orders;

#define CHILD_STEPS 20000 /* instructions of a child that are stepped, at the most */
#define RACES_STEPPED 200 /* of a race's children, one in so many is stepped to its end at the most */
#define WINDOW 300        /* instructions of a race's children that are traced, after what came in between */

static struct {
    int is_child;
    unsigned window; /* of instructions that are still to be traced; of a child that is not stepped to its end */
    size_t way;
    struct story story;
} told;

static void begin_child(size_t way)
{
    static const struct judged_key nothing[WATCHED];
    watchdog(SECONDS);
    told.is_child = 1;
    told.way = way;
    for (unsigned moment = 0; moment < MOMENTS; moment++)
        tell(&told.story, moment, way, 0);
    for (int i = 0; i < UPDATES; i++) {
        judged->updates += told.story.updates[i] >= 0;
        judged->refused += told.story.updates[i] == BID_E_WOULD_ALLOCATE;
    }
    if (judged->updated_at % orders.stepped == way)
        judge_begin(nothing, 0);
    else if (race)
        told.window = WINDOW;
    else
        stepper_leave();
}

static int is_time(void)
{
    if (race)
        return !race->is_time || race->is_time();
    return judge_instructions() % orders.every == orders.phase;
}

static void trace_on(uint64_t address)
{
    judge_note(address);
    if (--told.window == 0)
        stepper_leave();
}

static void visit(uint64_t address)
{
    if (told.window) {
        trace_on(address);
        return;
    }
    judge_visit(address);
    if (told.is_child && judge_instructions() == CHILD_STEPS)
        stepper_leave();
    if (told.is_child || !is_time())
        return;
    judged->updated_at++;
    for (size_t way = first_way; way <= last_way; way++) {
        pid_t child = fork();
        if (child == 0) {
            begin_child(way);
            return;
        }
        wait_for(child, "a process ended with an error, in which the key was updated by a handler");
    }
}

static void end_child(void)
{
    const struct story *story = &told.story;
    char what[150];
    told.story.last = version(key);
    snprintf(what, sizeof what, "no order explains it: seen %lu, told %s and %s, seen %lu; the operation: %s; seen",
             (unsigned long)story->before, bid_status_name((int)story->updates[0]),
             bid_status_name((int)story->updates[1]), (unsigned long)story->after, bid_status_name((int)story->status));
    if (!is_legal(story, told.way))
        judge_wrong(what, key, story->last);
    _exit(0);
}

void collide(const struct scenario *scenario, uint64_t every, uint64_t phase, uint64_t stepped_one)
{
    struct judged_key watch[WATCHED];
    scenario_watch(scenario, watch);
    key = watch[0].key;
    version = scenario->kind == RACED && watch[1].version ? watch[1].version : judge_version;
    choose_ways(scenario);
    orders.every = every, orders.phase = phase;
    orders.stepped = race && stepped_one < RACES_STEPPED ? RACES_STEPPED : stepped_one;
    find_legal(scenario);
    stepper_install(visit);
    judge_begin(watch, 0);
    stepper_begin();
    told.story.status = scenario->operate();
    stepper_end();
    if (told.is_child)
        end_child();
    if (told.story.status != scenario->status)
        judge_wrong(bid_status_name((int)told.story.status), key, 0);
    judge_end();
}
