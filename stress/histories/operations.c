/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Single operations of a history: each is called, timed, and written down. */
#define _GNU_SOURCE
#include "run.h"

#include <string.h>

static uint64_t now(void)
{
    return atomic_fetch_add(&run.clock, 1);
}

static struct history_op *new_op(struct worker *worker, const struct history_op *planned)
{
    struct history_op *op = &worker->ops[atomic_fetch_add(&worker->used, 1)];
    *op = *planned;
    op->thread = worker->number;
    return op;
}

/* What a call needs, made beforehand. */
struct arguments {
    uint64_t key;
    size_t length;
    uint8_t id[BID_ID_MAX];
    struct bid_build_id found; /* for a lookup's answer */
};

/* Inserts the key as the last one of a batch. The others are new keys of the background, so the number of new entries
 * says whether this one was new. */
static int insert_many(struct bid_table *table, const struct arguments *with)
{
    static const uint8_t background[BID_ID_NARROW] = "one of a batch";
    uint64_t keys[PLAN_BATCH + 1], first = atomic_fetch_add(&run.filled, PLAN_BATCH);
    uint8_t ids[PLAN_BATCH + 1][BID_ID_MAX], lengths[PLAN_BATCH + 1];
    size_t inserted;
    for (unsigned i = 0; i < PLAN_BATCH; i++) {
        keys[i] = plan_background_key(run.plan, first + i);
        lengths[i] = sizeof background;
        memcpy(ids[i], background, sizeof background);
    }
    keys[PLAN_BATCH] = with->key;
    lengths[PLAN_BATCH] = with->length ? (uint8_t)with->length : BID_LENGTH_NO_BUILD_ID;
    memcpy(ids[PLAN_BATCH], with->id, with->length);
    int status = bid_insert_many(table, keys, PLAN_BATCH + 1, ids[0], BID_ID_MAX, lengths, &inserted);
    atomic_fetch_add(&run.background, (int64_t)(inserted < PLAN_BATCH ? inserted : PLAN_BATCH));
    if (status < 0)
        return status;
    return inserted == PLAN_BATCH + 1 ? BID_OK : inserted == PLAN_BATCH ? BID_EXISTS : BID_E_COLLISIONS;
}

static int call(struct bid_table *table, const struct history_op *op, struct arguments *with)
{
    struct bid_probe_cost cost;
    switch ((enum history_kind)op->kind) {
    case HISTORY_LOOKUP:
        return bid_lookup(table, with->key, &with->found);
    case HISTORY_LOOKUP_COST:
        return bid_lookup_cost(table, with->key, &with->found, &cost);
    case HISTORY_LOOKUP_GENERATION:
        return bid_lookup_generation(table, with->key, op->generation, &with->found);
    case HISTORY_INSERT:
        return bid_insert(table, with->key, op->generation, with->id, with->length);
    case HISTORY_INSERT_NMI:
        return bid_insert_nmi(table, with->key, op->generation, with->id, with->length);
    case HISTORY_INSERT_MANY:
        return insert_many(table, with);
    case HISTORY_REPLACE:
        return bid_replace(table, with->key, op->generation, with->id, with->length);
    case HISTORY_UPSERT:
        return bid_upsert(table, with->key, op->generation, with->id, with->length);
    case HISTORY_REMOVE:
        return bid_remove(table, with->key);
    case HISTORY_REMOVE_GENERATION:
        return bid_remove_generation(table, with->key, op->generation);
    default:
        return bid_remove_nmi(table, with->key);
    }
}

static void count_op(const struct history_op *op, int resizing, struct recorder_tally *tally)
{
    tally->operations++;
    tally->kinds[op->kind]++;
    tally->refused += op->status < 0;
    tally->in_resize += (uint64_t)(resizing || bid_resizing(run.table));
    if (op->status == BID_E_MAX_ENTRIES && !run.plan->options.max_entries && !tally->errors++)
        tally->first_error = op->status;
}

/* What a lookup found. */
static void answer(struct history_op *op, const struct bid_build_id *found)
{
    if (op->status != BID_OK && op->status != BID_NO_BUILD_ID)
        return;
    op->found_generation = found->generation;
    op->found_id = plan_id_number(run.plan, op->key, found);
}

void operation_record(struct history_op *op, int trap, struct recorder_tally *tally)
{
    struct arguments with = {.key = plan_key(run.plan, op->key)};
    with.length = plan_id(run.plan, op->key, op->id, with.id);
    int resizing = bid_resizing(run.table);
    op->invoked = now();
    if (trap)
        trap_on();
    op->status = call(run.table, op, &with);
    if (trap)
        trap_off();
    op->returned = now();
    if (history_is_lookup(op->kind))
        answer(op, &with.found);
    count_op(op, resizing, tally);
}

/* ------------------------------------------------------------------------------ operations on all keys -- */

#define ALL_KEYS 4096 /* more than there are at any time */
#define MANY_KEYS 20  /* of a lookup of many: more than are fetched ahead */

/* One call, as an operation on each key in question. */
struct all {
    struct history_op *op[PLAN_KEYS];
    unsigned seen[PLAN_KEYS];
};

/* Notes what was found of a key in question. A second visit gets a status that no order of operations explains. */
static void see(struct all *all, uint64_t key, int status, const struct bid_build_id *id)
{
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        if (key != plan_key(run.plan, i))
            continue;
        all->op[i]->status = status;
        if (id)
            answer(all->op[i], id);
        if (all->seen[i]++)
            all->op[i]->status = BID_E_COLLISIONS;
    }
}

static int visit(void *all, uint64_t key, int status, const struct bid_build_id *id)
{
    see(all, key, status, id);
    return 0;
}

static void list_keys(struct all *all)
{
    uint64_t keys[ALL_KEYS];
    size_t n = bid_keys(run.table, keys, ALL_KEYS);
    for (size_t i = 0; i < n && i < ALL_KEYS; i++)
        see(all, keys[i], BID_OK, NULL);
}

/* The keys in question, then some of the background. */
static void look_many_up(struct all *all)
{
    uint64_t keys[MANY_KEYS];
    uint8_t ids[MANY_KEYS][BID_ID_MAX], lengths[MANY_KEYS];
    for (uint32_t i = 0; i < MANY_KEYS; i++)
        keys[i] = i < run.plan->keys ? plan_key(run.plan, i) : plan_background_key(run.plan, i);
    bid_lookup_many(run.table, keys, MANY_KEYS, ids[0], sizeof ids[0], lengths);
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        struct bid_build_id id = {.length = lengths[i] == BID_LENGTH_NO_BUILD_ID ? 0 : lengths[i]};
        memcpy(id.bytes, ids[i], sizeof id.bytes);
        if (lengths[i])
            see(all, keys[i], id.length ? BID_OK : BID_NO_BUILD_ID, &id);
    }
}

static void call_on_all(struct all *all, uint32_t kind)
{
    if (kind == HISTORY_LOOKUP_MANY)
        look_many_up(all);
    else if (kind == HISTORY_KEYS)
        list_keys(all);
    else
        bid_iterate(run.table, visit, all);
}

/* Records an operation on all keys as one on each key in question. A key that is not seen counts as found absent. */
static void record_all(struct worker *worker, const struct history_op *planned, unsigned level, int trap)
{
    struct all all = {.seen = {0}};
    int resizing = bid_resizing(run.table);
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        all.op[i] = new_op(worker, planned);
        all.op[i]->key = i;
        all.op[i]->level = level;
        all.op[i]->status = BID_ABSENT;
    }
    for (uint32_t i = 0; i < run.plan->keys; i++)
        all.op[i]->invoked = now();
    if (trap)
        trap_on();
    call_on_all(&all, planned->kind);
    if (trap)
        trap_off();
    for (uint32_t i = 0; i < run.plan->keys; i++) {
        all.op[i]->returned = now();
        count_op(all.op[i], resizing, &worker->tally);
    }
}

void operation_perform(struct worker *worker, const struct history_op *planned, unsigned level, int trap)
{
    if (planned->kind == HISTORY_LOOKUP_MANY || planned->kind == HISTORY_ITERATE || planned->kind == HISTORY_KEYS) {
        record_all(worker, planned, level, trap);
        return;
    }
    struct history_op *op = new_op(worker, planned);
    op->level = level;
    operation_record(op, trap, &worker->tally);
}
