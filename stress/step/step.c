/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Every operation of the table, each stepped from its first instruction to its last.
 *   step LIST    the scenarios, one a line, with the modes that they allow
 *   step NAME looks|updates|grows|collides EVERY PHASE COUNT_EVERY TRACE
 *
 * Prints what was found as JSON; TRACE gets where the handler ran. See struct judge_orders for the numbers.
 */
#include "../common/stepper.h"
#include "collide.h"
#include "others.h"
#include "scenarios.h"
#include "trace.h"

#include "../../tests/c/check.h"

#include <sys/wait.h>
#include <unistd.h>

static void step_once(const struct scenario *scenario, uint64_t quiet)
{
    struct judged_key watch[WATCHED];
    scenario_watch(scenario, watch);
    judge_begin(watch, quiet);
    stepper_begin();
    int status = scenario->operate();
    stepper_end();
    if (status != scenario->status)
        judge_wrong(bid_status_name(status), KEY, 0);
    judge_end();
}

static void prepare_stepped(const struct scenario *scenario)
{
    stepper_install(judge_note);
    stepper_begin();
    scenario_prepare(scenario);
    stepper_end();
    stepper_install(judge_visit);
    trace_break();
}

/* Each time in a new process, with a handler that looks up from a later instruction on, until that is past the end. */
static void step_with_restarts(const struct scenario *scenario)
{
    int result = 0;
    for (uint64_t quiet = 0; result == 0; quiet++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            step_once(scenario, quiet);
            _exit(judge_instructions() <= quiet ? 2 : 0);
        }
        CHECK(waitpid(child, &result, 0) == child);
    }
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 2)
        judge_wrong("a process ended with a signal or an error", KEY, (uint64_t)result);
}

static void print(const struct scenario *scenario)
{
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"interrupted", judged->interrupted},
        {"lookups", judged->lookups},
        {"in_resize", judged->in_resize},
        {"updates", judged->updates},
        {"refused", judged->refused},
        {"updated_at", judged->updated_at},
        {"wrong", judged->wrong},
        {"max_slots", judged->max_slots},
        {"max_records", judged->max_records},
        {"max_instructions", judged->max_instructions},
        {"longest", judged->longest},
        {"quiet_threads", judged->quiet.threads},
        {"quiet_calls", judged->quiet.calls},
    };
    printf("{\"name\": \"%s\", \"first_wrong\": \"%s\"", scenario->name, judged->first_wrong);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        printf(", \"%s\": %lu", figures[i].name, (unsigned long)figures[i].value);
    printf("}\n");
}

static void list(void)
{
    /* A fork in the middle of an operation has all that it needs if that is of one thread. */
    static const char *const modes[] = {
        [PLAIN] = "looks updates grows collides",
        [INODES] = "looks updates grows collides",
        [COMPOUND] = "looks updates grows",
        [RACED] = "looks collides",
        [RESTARTS] = "looks updates grows",
        [THREADED] = "looks updates grows",
        [CROWDED] = "looks updates grows",
        [FORKS] = "looks updates grows",
        [FIRST_TABLES] = "looks",
        [LIMITED] = "looks",
        [LONG_ONES] = "looks",
    };
    const struct scenario *scenario;
    for (size_t i = 0; (scenario = scenario_get(i)); i++)
        printf("%s\t%s\t%s\n", scenario->name, modes[scenario->kind], scenario->summary);
}

static struct judge_orders read_orders(char **words)
{
    static const char *const modes[] = {"looks", "updates", "grows", "collides"}; /* as enum judge_mode */
    enum judge_mode mode = JUDGE_LOOKS;
    while (strcmp(modes[mode], words[0]) != 0)
        CHECK(++mode <= JUDGE_COLLIDES);
    return (struct judge_orders){mode, strtoull(words[1], NULL, 10), strtoull(words[2], NULL, 10),
                                 strtoull(words[3], NULL, 10)};
}

/* Of the threads that a scenario leaves standing in an update, at the most. */
#define STANDING 8

static int program(int count, char **arguments)
{
    if (count != 7) {
        list();
        return 0;
    }
    const struct scenario *scenario = scenario_named(arguments[1]);
    CHECK(scenario != NULL);
    struct judge_orders orders = read_orders(arguments + 2);
    judge_make(orders);
    trace_make();
    others_begin();
    stepper_install(judge_visit);
    if (scenario->kind == CROWDED)
        judge_allow(BID_E_COLLISIONS);
    if (scenario->kind == FIRST_TABLES)
        prepare_stepped(scenario);
    else
        scenario_prepare(scenario);
    if (orders.mode == JUDGE_COLLIDES)
        collide(scenario, orders.every, orders.phase, orders.count_every);
    else if (scenario->kind == RESTARTS && orders.mode != JUDGE_GROWS)
        step_with_restarts(scenario);
    else
        step_once(scenario, 0);
    const char *unsound = bid_audit(stepped, STANDING);
    if (unsound)
        judge_wrong(unsound, 0, 0);
    print(scenario);
    trace_write(arguments[6]);
    return 0;
}

int main(int count, char **arguments)
{
    return stepper_main(program, count, arguments);
}
