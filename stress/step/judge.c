/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The handler: the key in question has its state before or after the operation, and never goes back; other
 * keys stay as they are, those of its probe sequence and those elsewhere; absent keys are absent, one of this sequence,
 * too; another table is as it was.
 */
#include "judge.h"
#include "../common/stepper.h"
#include "others.h"
#include "trace.h"

#include "../../tests/c/check.h"
#include "../common/unmix.h"

#include <sys/mman.h>
#include <unistd.h>

#define NOTHING_THERE path_key(1000)

struct bid_table *stepped, *second;
struct judged *judged;

static struct judge_orders orders;
static pid_t process; /* that has the thread which grows */

/* Of the operation that is under way in this process: a child of a fork goes on with its own. */
static struct judged_key watched[WATCHED];
static uint64_t version_now[WATCHED];
static uint64_t instructions, quiet_until;
static int neighbour_is_there[NEIGHBOURS];

/* -------------------------------------------------------------------------------------------------- keys -- */

/* The top bits of a hash are the home bucket, those that follow the tag; the lower half, xor-ed with the upper one,
 * gives the step, from its top bits: only the low ones differ. */
uint64_t path_key(uint64_t number)
{
    uint64_t mixed = 0x5ca1ab1e00000000ull | number, key = unmix(mixed, SEED);
    if (bid_mix(key, SEED) != mixed)
        judge_wrong("the hash is not the one that was written backwards here", key, number);
    return key;
}

/* ---------------------------------------------------------------------------------------------- verdicts -- */

void judge_wrong(const char *what, uint64_t key, uint64_t version)
{
    if (!judged->wrong++)
        snprintf(judged->first_wrong, sizeof judged->first_wrong, "%s, key %#lx, version %lu, after %lu instructions",
                 what, (unsigned long)key, (unsigned long)version, (unsigned long)instructions);
}

static void at_least(_Atomic(uint64_t) *highest, uint64_t value)
{
    uint64_t old = *highest;
    while (old < value && !atomic_compare_exchange_weak(highest, &old, value))
        ;
}

static void see_cost(const struct bid_probe_cost *cost)
{
    at_least(&judged->max_slots, cost->slots);
    at_least(&judged->max_records, cost->records);
    if (cost->slots > BID_LOOKUP_MAX_SLOTS || cost->records > BID_LOOKUP_MAX_RECORDS)
        judge_wrong("a lookup read more than its bound", cost->slots, cost->records);
}

/* Of each thread that is stepped: for its handler's lookups and updates for NMI context. */
static _Thread_local struct quiet quiet;

void judge_thread(void)
{
    quiet_watch(&quiet, &judged->quiet);
}

/* By turns the short form, and the one that measures. */
static uint64_t version_in(const struct bid_table *table, uint64_t key)
{
    struct bid_build_id id;
    struct bid_probe_cost cost;
    int measure = judged->lookups++ % 2;
    char before = quiet_enter(&quiet);
    int status = measure ? bid_lookup_cost(table, key, &id, &cost) : bid_lookup(table, key, &id);
    quiet_leave(&quiet, before);
    if (measure)
        see_cost(&cost);
    if (status == BID_ABSENT)
        return ABSENT;
    if (status != (id.length ? BID_OK : BID_NO_BUILD_ID) || !id_is(&id, key, id.generation, id.length))
        judge_wrong("no answer, or a torn one", key, (uint64_t)status);
    return id.generation;
}

uint64_t judge_version(uint64_t key)
{
    return version_in(stepped, key);
}

static void expect(const struct bid_table *table, const char *what, uint64_t key, uint64_t version)
{
    uint64_t found = version_in(table, key);
    if (found != version)
        judge_wrong(what, key, found);
}

/* ------------------------------------------------------------------------------- a lookup's instructions -- */

typedef int (*lookup_form)(const struct bid_table *table, uint64_t key, struct bid_build_id *id);

/* One instruction: what is counted beside it is the switch. */
static __attribute__((noinline)) int no_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id)
{
    (void)table, (void)key, (void)id;
    __asm__ volatile("" ::: "memory");
    return 0;
}

static __attribute__((noinline)) uint64_t count(lookup_form lookup, uint64_t key)
{
    struct bid_build_id id;
    lookup_form volatile form = lookup; /* so that both are called alike */
    stepper_count_begin();
    form(stepped, key, &id);
    return stepper_count_end();
}

static void count_a_lookup(uint64_t key)
{
    static uint64_t beside;
    if (!beside)
        beside = count(no_lookup, key) - 2; /* it sets its result and returns */
    at_least(&judged->max_instructions, count(bid_lookup, key) - beside);
}

/* ----------------------------------------------------------------------------------------------- updates -- */

/* After those that stay. */
static uint64_t volatile_neighbour(unsigned number)
{
    return path_key(1 + NEIGHBOURS + number);
}

static int update_a_neighbour(unsigned number)
{
    uint64_t key = volatile_neighbour(number);
    uint8_t id[20];
    make_id(key, 9, id, sizeof id);
    char before = quiet_enter(&quiet);
    int status =
        neighbour_is_there[number] ? bid_remove_nmi(stepped, key) : bid_insert_nmi(stepped, key, 9, id, sizeof id);
    quiet_leave(&quiet, before);
    if (status == BID_OK)
        neighbour_is_there[number] = !neighbour_is_there[number];
    else if (status != BID_E_WOULD_ALLOCATE)
        judge_wrong(bid_status_name(status), key, 0);
    return status;
}

static int allowed; /* what other threads may be told */

void judge_allow(int status)
{
    allowed = status;
}

static void update(void)
{
    unsigned number = (unsigned)((judged->updates + judged->refused) % NEIGHBOURS);
    int status = orders.mode == JUDGE_GROWS ? others_update(stepped) : update_a_neighbour(number);
    if (status != BID_OK && status != BID_E_WOULD_ALLOCATE && status != allowed)
        judge_wrong(bid_status_name(status), (uint64_t)orders.mode, 0);
    judged->updates += status == BID_OK;
    judged->refused += status != BID_OK;
    judged->updated_at++;
}

static int is_time_to_update(void)
{
    if ((orders.mode != JUDGE_UPDATES && orders.mode != JUDGE_GROWS) || instructions % orders.every != orders.phase)
        return 0;
    return orders.mode == JUDGE_UPDATES || (getpid() == process && judged->updated_at < JUDGE_GROWS_MAX);
}

/* --------------------------------------------------------------------------------------------- the visit -- */

static void look_at_watched(void)
{
    for (int i = 0; i < WATCHED && watched[i].version; i++) {
        uint64_t version = watched[i].version(watched[i].key);
        if (version != version_now[i] && version != watched[i].after)
            judge_wrong(i ? "the inode in question" : "the key in question", watched[i].key, version);
        version_now[i] = version;
    }
}

static void look_around(void)
{
    uint64_t number = instructions % STEADY, other = instructions % NEIGHBOURS;
    expect(stepped, "a key that stays", inode_key(number), 1);
    expect(stepped, "a key that stays, of the probe sequence", path_key(1 + other), 1);
    expect(stepped, "a neighbour that handlers update", volatile_neighbour((unsigned)other),
           neighbour_is_there[other] ? 9 : ABSENT);
    expect(stepped, "an absent key, of the probe sequence", NOTHING_THERE, ABSENT);
    expect(second, "a key of the second table", inode_key(number), 1);
}

void judge_note(uint64_t address)
{
    trace_visit(address);
    judged->interrupted++;
}

void judge_visit(uint64_t address)
{
    judge_note(address);
    if (instructions++ < quiet_until)
        return;
    judged->in_resize += (uint64_t)bid_resizing(stepped);
    look_at_watched();
    look_around();
    if (orders.mode == JUDGE_LOOKS && orders.count_every && instructions % orders.count_every == 0 && !quiet_until)
        count_a_lookup(instructions / orders.count_every % 2 ? KEY : NOTHING_THERE);
    if (is_time_to_update()) {
        update();
        look_at_watched();
        look_around();
    }
}

uint64_t judge_instructions(void)
{
    return instructions;
}

void judge_make(struct judge_orders given)
{
    orders = given;
    process = getpid();
    judged = mmap(NULL, sizeof *judged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(judged != MAP_FAILED);
    judge_thread();
}

void judge_begin(const struct judged_key watch[WATCHED], uint64_t from)
{
    memcpy(watched, watch, sizeof watched);
    memset(neighbour_is_there, 0, sizeof neighbour_is_there);
    instructions = 0;
    quiet_until = from;
    trace_break();
    for (int i = 0; i < WATCHED && watched[i].version; i++) {
        version_now[i] = watched[i].version(watched[i].key);
        if (version_now[i] != watched[i].before)
            judge_wrong("before the operation", watched[i].key, version_now[i]);
    }
    look_around();
}

void judge_end(void)
{
    for (int i = 0; i < WATCHED && watched[i].version; i++) {
        uint64_t version = watched[i].version(watched[i].key);
        if (version != watched[i].after)
            judge_wrong("after the operation", watched[i].key, version);
    }
    look_around();
    at_least(&judged->longest, instructions);
}
