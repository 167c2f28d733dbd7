/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread of the torture that updates: in turn it grows the table by inserts alone, changes it, empties it, and
 * changes it together with reserve, shrink, walks and the making of a second table.
 */
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "torture.h"

enum stretch { GROW, CHANGE, EMPTY, MIXED, STRETCHES };

/* Handlers of this processor come between any two of these stores. */
static void op_begin(struct updater *updater, u64 key, u32 before, u32 after)
{
    struct under_way *op = &updater->op;
    op->key = key;
    op->before = before;
    op->after = after;
    op->seen_after = 0;
    barrier();
    WRITE_ONCE(op->active, 1);
    barrier();
    WRITE_ONCE(updater->in_update, 1);
    barrier();
}

static void op_end(struct updater *updater, int i, u32 now)
{
    barrier();
    WRITE_ONCE(updater->in_update, 0);
    updater->version[i] = now; /* still under way for the handler */
    barrier();
    WRITE_ONCE(updater->op.active, 0);
    barrier();
    WRITE_ONCE(updater->done, updater->done + 1);
}

/* Judges the status of an update, whose error leaves the key as it was. */
static u32 op_judge(struct updater *updater, u64 key, int status, int want, u32 before, u32 after)
{
    if (status < 0 && -status < 32)
        updater->errors[-status]++;
    else if (status != want)
        wrong(&cpus[updater->cpu], STATUS, key, status, want);
    return status < 0 ? before : after;
}

static int insert_of(struct updater *updater, u64 key, u32 version, const u8 *id)
{
    size_t inserted;
    if (design == &ours && !generation_of(version)) {
        updater->of[MANY]++;
        return bid_insert_many(table, &key, 1, id, ID_SIZE, NULL, &inserted);
    }
    updater->of[INSERT]++;
    return design->insert(key, generation_of(version), id);
}

static void add_or_change(struct updater *updater, u32 r, int i)
{
    u64 key = key_of(updater->number, i);
    u32 before = updater->version[i], after = updater->next++;
    int status, want = BID_OK;
    u8 id[ID_SIZE];
    id_make(id, key, after);
    op_begin(updater, key, before, after);
    if (!before) {
        status = insert_of(updater, key, after, id);
    } else if (r >> 31) {
        status = design->replace(key, generation_of(after), id);
        updater->of[REPLACE]++;
    } else {
        status = design->upsert(key, generation_of(after), id);
        want = BID_EXISTS;
        updater->of[UPSERT]++;
    }
    op_end(updater, i, op_judge(updater, key, status, want, before, after));
}

static void take_away(struct updater *updater, u32 r, int i)
{
    u64 key = key_of(updater->number, i);
    u32 before = updater->version[i];
    int status;
    op_begin(updater, key, before, ABSENT);
    if (design == &ours && r >> 30 == 0)
        status = bid_remove_generation(table, key, generation_of(before));
    else
        status = design->remove(key);
    updater->of[REMOVE]++;
    op_end(updater, i, op_judge(updater, key, status, BID_OK, before, ABSENT));
}

/* Lookups in thread context: NMIs come inside of them as well. */
static void look_around(struct updater *updater, int i)
{
    struct cpu *cpu = &cpus[updater->cpu];
    int other = draw(&updater->random) % most;
    u64 keys[] = {key_of(updater->number, i), key_of(updater->number, other)};
    u32 want[] = {updater->version[i], updater->version[other]}, never = draw(&updater->random);
    int n;
    for (n = 0; n < 2; n++) {
        u32 got = look(cpu, keys[n]);
        if (got != want[n])
            wrong(cpu, NOT_AS_LEFT, keys[n], got, want[n]);
    }
    if (look(cpu, key_never(never)))
        wrong(cpu, NOT_ABSENT, key_never(never), 1, ABSENT);
}

static int count_key(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    ++*(int *)argument;
    return 0;
}

/* Each form of a walk over a table that has so many keys at the least. */
static void walk(struct updater *updater, const struct bid_table *walked, int form, int least_keys)
{
    struct bid_stats stats = {.size = sizeof(stats)};
    u64 keys[8];
    int seen = 0;
    if (form == 0)
        bid_iterate(walked, count_key, &seen);
    else if (form == 1)
        seen = bid_keys(walked, keys, ARRAY_SIZE(keys));
    else if (bid_statistics(walked, &stats) == BID_OK)
        seen = stats.entries;
    if (seen < least_keys)
        wrong(&cpus[updater->cpu], STATUS, 0, seen, least_keys);
}

/* Does every operation on a small table: there each instruction is near the beginning or the end of a call, where few
 * NMIs come otherwise. */
static void try_all(struct updater *updater, struct bid_table *made)
{
    int i;
    for (i = 0; i < SECOND; i++) {
        u8 id[ID_SIZE];
        id_make(id, key_second(i), 2);
        if (bid_insert(made, key_second(i), 2, id, ID_SIZE) != BID_OK)
            wrong(&cpus[updater->cpu], STATUS, key_second(i), 0, BID_OK);
    }
    for (i = 0; i < 3; i++) {
        interrupt_soon(updater->cpu);
        walk(updater, made, i, SECOND);
    }
    interrupt_soon(updater->cpu);
    bid_reserve(made, 2 * SECOND + draw(&updater->random) % 256);
    interrupt_soon(updater->cpu);
    bid_shrink(made);
}

/* A second table is made, filled, read by handlers, and destroyed after a grace period. */
static void another_table(struct updater *updater)
{
    struct bid_options options = {.size = sizeof(options),
                                  .id_size = ID_SIZE,
                                  .flags = BID_FIXED_SEED,
                                  .seed = updater->next,
                                  .expected_entries = SECOND};
    struct bid_table *made;
    int i;
    if (bid_create(&made, &options) != BID_OK)
        return;
    try_all(updater, made);
    if (cmpxchg_release(&second, NULL, made) == NULL) {
        for (i = 0; i < 8; i++)
            look_around(updater, draw(&updater->random) % most);
        WRITE_ONCE(second, NULL);
        synchronize_rcu_expedited();
    }
    interrupt_soon(updater->cpu);
    bid_destroy(made);
}

/* Does one of the operations that are done seldom, if r chooses one. Returns whether it did. */
static int now_and_then(struct updater *updater, u32 r)
{
    enum kind kind = RESERVE + r % 8;
    int status = BID_OK;
    if (kind >= KINDS)
        return 0;
    updater->doing = kind;
    WRITE_ONCE(updater->in_update, 1);
    interrupt_soon(updater->cpu);
    if (kind == RESERVE)
        status = bid_reserve(table, STABLE + (r >> 22));
    else if (kind == SHRINK)
        status = bid_shrink(table);
    else if (kind == WALK)
        walk(updater, table, r >> 30, STABLE);
    else
        another_table(updater);
    WRITE_ONCE(updater->in_update, 0);
    updater->of[kind]++;
    if (status < 0 && -status < 32)
        updater->errors[-status]++;
    WRITE_ONCE(updater->done, updater->done + 1);
    return 1;
}

static void turn(struct updater *updater)
{
    enum stretch stretch = updater->turn++ / swing % STRETCHES;
    u32 r = draw(&updater->random), chance = (r >> 16) % 8;
    int i = r % most;
    if (stretch == MIXED && design == &ours && now_and_then(updater, draw(&updater->random)))
        return;
    if (stretch == GROW || stretch == EMPTY)
        while (i < most - 1 && !updater->version[i] != (stretch == GROW)) /* the next key that it concerns */
            i++;
    if (stretch == EMPTY ? updater->version[i] != 0 : stretch != GROW && updater->version[i] && chance < 4)
        take_away(updater, r, i);
    else if (stretch != EMPTY)
        add_or_change(updater, r, i);
    look_around(updater, i);
}

int updater_run(void *argument)
{
    struct updater *updater = argument;
    while (!kthread_should_stop() && !READ_ONCE(stop)) {
        turn(updater);
        if (updater->number % UPDATERS == 0)
            interrupt_other(updater->cpu);
        if (updater->turn % 64 == 0)
            cond_resched();
    }
    return 0;
}
