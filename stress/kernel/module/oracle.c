/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The oracle of the torture: what an NMI handler looks up and does, and what the answers must be. */
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "torture.h"

void id_make(u8 *id, u64 key, u32 version)
{
    u64 mixed = (key ^ version) * 0x9e3779b97f4a7c15ull;
    memcpy(id, &key, 8);
    memcpy(id + 8, &version, 4);
    memcpy(id + 12, &mixed, 8);
}

/* The version that an answer says. GARBAGE: no such build ID was ever stored for this key. */
u32 id_version(int status, u64 key, const struct bid_build_id *id)
{
    u8 want[ID_SIZE];
    u32 version;
    if (status == BID_ABSENT)
        return ABSENT;
    if (status != BID_OK || id->length != ID_SIZE)
        return GARBAGE;
    memcpy(&version, id->bytes + 8, 4);
    id_make(want, key, version);
    return memcmp(want, id->bytes, ID_SIZE) || id->generation != generation_of(version) ? GARBAGE : version;
}

void wrong(struct cpu *cpu, enum wrong kind, u64 key, u32 got, u32 want)
{
    cpu->wrong[kind]++;
    if (cpu->wrongs++ < 3 && !cpu->quiet)
        pr_err("bid_torture: WRONG ANSWER, kind %d: key %llx has version %u, not %u\n", kind, key, got, want);
}

static u32 look_cost(struct cpu *cpu, u64 key)
{
    struct bid_probe_cost cost;
    struct bid_build_id id;
    int status = bid_lookup_cost(table, key, &id, &cost);
    count_most(&cpu->most_slots, cost.slots);
    count_most(&cpu->most_records, cost.records);
    if (cost.slots > BID_LOOKUP_MAX_SLOTS || cost.records > BID_LOOKUP_MAX_RECORDS)
        wrong(cpu, OVER_BOUND, key, cost.slots, BID_LOOKUP_MAX_SLOTS);
    return id_version(status, key, &id);
}

/* What a row of bid_lookup_many() says. A row has no generation, so the one that belongs to its version is taken. */
static struct bid_build_id id_of_row(const u8 *row, u8 length)
{
    struct bid_build_id id = {.length = length};
    u32 version;
    memcpy(&version, row + 8, 4);
    id.generation = generation_of(version);
    memcpy(id.bytes, row, ID_SIZE);
    return id;
}

static u32 look_many(struct cpu *cpu, u64 key)
{
    u64 keys[2] = {key, key_stable(key / 680 % STABLE)};
    u8 rows[2 * ID_SIZE], lengths[2];
    size_t present = bid_lookup_many(table, keys, 2, rows, ID_SIZE, lengths);
    struct bid_build_id id = id_of_row(rows, lengths[0]), stable = id_of_row(rows + ID_SIZE, lengths[1]);
    cpu->lookups++;
    if (!lengths[1] || id_version(BID_OK, keys[1], &stable) != 1)
        wrong(cpu, NOT_STABLE, keys[1], lengths[1], 1);
    if (present != (lengths[0] != 0) + (lengths[1] != 0))
        wrong(cpu, STATUS, key, present, lengths[0]);
    return id_version(lengths[0] ? BID_OK : BID_ABSENT, key, &id);
}

/* The version of a key, by one of the forms of a lookup. */
u32 look(struct cpu *cpu, u64 key)
{
    struct bid_build_id id;
    cpu->lookups++;
    if (design == &ours && cpu->lookups % 8 == 0)
        return look_cost(cpu, key);
    if (design == &ours && cpu->lookups % 8 == 4)
        return look_many(cpu, key);
    return id_version(design->lookup(key, &id), key, &id);
}

static void check_stable(struct cpu *cpu, u32 r)
{
    u64 key = key_stable(r % STABLE);
    struct bid_build_id id;
    u32 got = look(cpu, key);
    if (got != 1)
        wrong(cpu, NOT_STABLE, key, got, 1);
    if (design != &ours)
        return;
    cpu->lookups += 2;
    if (bid_lookup_generation(table, key, 1, &id) != BID_OK)
        wrong(cpu, NOT_STABLE, key, ABSENT, 1);
    if (bid_lookup_generation(table, key, 2, &id) != BID_STALE)
        wrong(cpu, NOT_STABLE, key, 2, 1);
}

/* The key of an operation that this NMI has interrupted: it has the state before or after it, and never goes back. */
static void check_under_way(struct cpu *cpu, struct under_way *op)
{
    int i;
    for (i = 0; i < 2; i++) {
        u32 got = look(cpu, op->key);
        if (got == op->after) {
            op->seen_after = 1;
            cpu->after++;
        } else if (got != op->before) {
            wrong(cpu, NEITHER, op->key, got, op->before);
        } else if (op->seen_after) {
            wrong(cpu, BACK, op->key, got, op->after);
        } else {
            cpu->before++;
        }
    }
}

/* A key of an updater. If the updater is of this processor, and the key is not under way, the version must be the last
 * one. Otherwise it must not be older than one that was seen. */
static void check_key(struct cpu *cpu, int number, struct updater *updater, int i)
{
    u64 key = key_of(updater->number, i);
    u32 *seen = &cpu->seen[updater->number][i], got = look(cpu, key);
    int under_way = updater->op.active && updater->op.key == key;
    if (got == GARBAGE || (got && got < *seen))
        wrong(cpu, OLDER, key, got, *seen);
    else if (updater->cpu == number && !under_way && got != updater->version[i])
        wrong(cpu, NOT_AS_LEFT, key, got, updater->version[i]);
    if (got && got != GARBAGE)
        *seen = got;
}

static void check_updaters(struct cpu *cpu, int number, u32 r)
{
    int i;
    for (i = 0; i < ncpus * UPDATERS; i++) {
        struct updater *updater = &updaters[i];
        u64 key = READ_ONCE(updater->op.key);
        if (updater->cpu == number && READ_ONCE(updater->op.active))
            check_under_way(cpu, &updater->op);
        if (updater->cpu != number && READ_ONCE(updater->op.active) && key) /* under way elsewhere */
            check_key(cpu, number, updater, (key - key_of(i, 0)) / 680 % KEYS);
        else
            check_key(cpu, number, updater, (r >> 8) % most);
    }
}

static void check_second(struct cpu *cpu, u32 r)
{
    struct bid_table *other = READ_ONCE(second);
    u64 key = key_second(r % SECOND);
    struct bid_build_id id;
    if (!other)
        return;
    cpu->lookups++;
    cpu->second++;
    if (id_version(bid_lookup(other, key, &id), key, &id) != 2)
        wrong(cpu, NOT_SECOND, key, ABSENT, 2);
}

/* A key that only handlers of this processor insert and remove. */
static void check_own(struct cpu *cpu, int number, u32 r)
{
    int i = (r >> 20) % OWN, status;
    u64 key = key_own(number, i);
    u32 version = (r & 0xffffff) | 1, got = look(cpu, key);
    u8 id[ID_SIZE];
    if (got != cpu->own[i])
        wrong(cpu, NOT_OWN, key, got, cpu->own[i]);
    if ((r >> 28) % 4)
        return;
    id_make(id, key, version);
    status = cpu->own[i] ? design->remove_nmi(key) : design->insert_nmi(key, generation_of(version), id);
    if (status == BID_OK) {
        cpu->own[i] = cpu->own[i] ? ABSENT : version;
        cpu->updates++;
    } else if (status == BID_E_WOULD_ALLOCATE) {
        cpu->refused++;
    } else {
        wrong(cpu, STATUS, key, status, BID_OK);
    }
    got = look(cpu, key);
    if (got != cpu->own[i])
        wrong(cpu, NOT_OWN, key, got, cpu->own[i]);
}

void oracle(struct cpu *cpu, int number)
{
    u32 r = draw(&cpu->random), got;
    check_stable(cpu, r);
    check_updaters(cpu, number, r);
    got = look(cpu, key_never(r >> 3));
    if (got)
        wrong(cpu, NOT_ABSENT, key_never(r >> 3), got, ABSENT);
    check_second(cpu, r);
    check_own(cpu, number, r);
}
