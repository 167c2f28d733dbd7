/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the handler checks after each instruction: the key in question has its state before or after the operation, and
 * never goes back; keys beside it on its path stay; an absent key is absent; another table is as it was.
 */
#include "stepper.h"

#include "../../tests/c/check.h"

struct bid_table *stepped, *second;
struct judged judged;
uint8_t reached[TEXT_MAX];

extern char __executable_start[], etext[];
static int neighbour[NEIGHBOURS]; /* whether the table has them */

uint64_t text_begin(void)
{
    return (uint64_t)__executable_start;
}

uint64_t text_bytes(void)
{
    return (uint64_t)(etext - __executable_start);
}

void judge_wrong(const char *what, uint64_t key, uint64_t version)
{
    if (!judged.wrong++)
        snprintf(judged.first_wrong, sizeof judged.first_wrong, "%s, key %#lx, version %lu, after %lu instructions",
                 what, (unsigned long)key, (unsigned long)version, (unsigned long)judged.interrupted);
}

static void see_cost(const struct bid_probe_cost *cost)
{
    judged.max_slots = cost->slots > judged.max_slots ? cost->slots : judged.max_slots;
    judged.max_records = cost->records > judged.max_records ? cost->records : judged.max_records;
    if (cost->slots > BID_LOOKUP_MAX_SLOTS || cost->records > BID_LOOKUP_MAX_RECORDS)
        judge_wrong("a lookup read more than its bound", cost->slots, cost->records);
}

/* By turns the short form, the form for a generation, and the one that measures. */
uint64_t judge_version(struct bid_table *table, uint64_t key)
{
    struct bid_build_id id;
    struct bid_probe_cost cost;
    int measure = judged.lookups++ % 2;
    int status = measure ? bid_lookup_cost(table, key, &id, &cost) : bid_lookup(table, key, &id);
    if (measure)
        see_cost(&cost);
    if (status == BID_ABSENT)
        return ABSENT;
    if (status != BID_OK || !id_is(&id, key, id.generation, 20))
        judge_wrong("no answer, or a torn one", key, (uint64_t)status);
    return id.generation;
}

static uint64_t neighbour_key(unsigned number)
{
    return inode_key(1000000 + number);
}

static void update_a_neighbour(void)
{
    unsigned number = (judged.updates + judged.refused) % NEIGHBOURS;
    uint64_t key = neighbour_key(number);
    uint8_t id[20];
    make_id(key, 9, id, sizeof id);
    int status = neighbour[number] ? bid_remove_nmi(stepped, key) : bid_insert_nmi(stepped, key, 9, id, sizeof id);
    if (status == BID_OK)
        neighbour[number] = !neighbour[number];
    else if (status != BID_E_WOULD_ALLOCATE)
        judge_wrong(bid_status_name(status), key, 0);
    judged.updates += status == BID_OK;
    judged.refused += status != BID_OK;
    if (judge_version(stepped, key) != (uint64_t)(neighbour[number] ? 9 : ABSENT))
        judge_wrong("the handler's own update", key, 0);
}

void judge_visit(ucontext_t *context)
{
    uint64_t address = (uint64_t)context->uc_mcontext.gregs[REG_RIP] - text_begin();
    if (address < text_bytes() && address < sizeof reached)
        reached[address] = 1;
    judged.interrupted++;
    judged.in_resize += (uint64_t)bid_resizing(stepped);
    uint64_t version = judge_version(stepped, judged.key), steady = inode_key(judged.interrupted % STEADY);
    if (version != judged.now && version != judged.after)
        judge_wrong("the key in question", judged.key, version);
    judged.now = version;
    if (steady != judged.key && judge_version(stepped, steady) != 1)
        judge_wrong("a key that stays", steady, 0);
    if (judge_version(stepped, ~judged.interrupted) != ABSENT)
        judge_wrong("an absent key", ~judged.interrupted, 0);
    if (judge_version(second, steady) != 1)
        judge_wrong("a key of the second table", steady, 0);
    if (judged.update_every && judged.interrupted % judged.update_every == 0)
        update_a_neighbour();
}

void judge_begin(uint64_t key, uint64_t before, uint64_t after, uint64_t update_every)
{
    judged.key = key;
    judged.now = before;
    judged.after = after;
    judged.update_every = update_every;
    memset(neighbour, 0, sizeof neighbour);
    if (judge_version(stepped, key) != before)
        judge_wrong("before the operation", key, before);
}
