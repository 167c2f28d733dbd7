/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Every instruction: operations run with the processor's trap flag set, so that a handler runs after each of their
 * instructions and looks up from there: the key in question, entries that stay, and a key that is absent. The key must be
 * in the state before or after the operation, and never go back; all others must be as they are. Then the same with an
 * insert or a remove of another key from the handler.
 *
 * The trap flag is set and cleared in the contexts of two signals, so no assembly is needed. x86-64 only.
 */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <ucontext.h>

#if !defined(__x86_64__)
int main(void)
{
    printf("skipped: single-stepping by the trap flag is x86-64's\n");
    return 0;
}
#else

#define STEADY 40
#define OTHERS 8 /* keys that handlers insert and remove */
#define TRAP_FLAG 0x100
#define PRESENT(version) (version)
#define ABSENT 0

static struct bid_table *table;

/* What the handler checks; versions of the key in question, ABSENT or above 0. */
static struct {
    uint64_t key, before, after, now;
    uint64_t update; /* the handler updates as well, after each instruction whose number this divides; 0: never */
    uint64_t steps, lookups, updates, refused, resizing, turn;
    int other[OTHERS]; /* whether the table has them */
} watch;

static uint64_t other_key(unsigned number)
{
    return inode_key(1000000 + number);
}

static uint64_t version_of(uint64_t key)
{
    struct bid_build_id id;
    int status = bid_lookup(table, key, &id);
    watch.lookups++;
    if (status == BID_ABSENT)
        return ABSENT;
    CHECK_STATUS(status, BID_OK);
    CHECK(id_is(&id, key, id.generation, 20));
    return id.generation;
}

static void update_another(void)
{
    unsigned number = watch.turn++ % OTHERS;
    uint64_t key = other_key(number);
    uint8_t id[20];
    make_id(key, 9, id, sizeof id);
    int status = watch.other[number] ? bid_remove_nmi(table, key) : bid_insert_nmi(table, key, 9, id, sizeof id);
    CHECK(status == BID_OK || status == BID_E_WOULD_ALLOCATE);
    if (status == BID_OK)
        watch.other[number] = !watch.other[number];
    watch.updates += status == BID_OK;
    watch.refused += status != BID_OK;
    CHECK(version_of(key) == (watch.other[number] ? 9 : ABSENT));
}

static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    watch.steps++;
    uint64_t version = version_of(watch.key);
    CHECK(version == watch.now || version == watch.after);
    watch.now = version;
    uint64_t steady = inode_key(watch.steps % STEADY);
    CHECK(steady == watch.key || version_of(steady) == 1);
    CHECK(version_of(~watch.steps) == ABSENT);
    watch.resizing += (uint64_t)bid_resizing(table);
    if (watch.update && watch.steps % watch.update == 0)
        update_another();
}

static void set_trap_flag(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

/* One operation, stepped. `call` is an expression with the operation in it, of type int. */
#define STEP(name, the_key, was, becomes, call, expected)                                                              \
    do {                                                                                                               \
        uint64_t steps_ = watch.steps, lookups_ = watch.lookups, resizing_ = watch.resizing;                           \
        watch.key = (the_key);                                                                                         \
        watch.before = watch.now = (was);                                                                              \
        watch.after = (becomes);                                                                                       \
        CHECK(version_of(watch.key) == watch.before);                                                                  \
        raise(SIGUSR1);                                                                                                \
        int result_ = (call);                                                                                          \
        raise(SIGUSR2);                                                                                                \
        CHECK_STATUS(result_, expected);                                                                               \
        CHECK(version_of(watch.key) == watch.after);                                                                   \
        CHECK(watch.steps > steps_ + 50);                                                                              \
        if ((name) != NULL)                                                                                            \
            printf("%-32s %8lu instructions, %8lu of them in a resize, %8lu lookups\n", (const char *)(name),          \
                   (unsigned long)(watch.steps - steps_), (unsigned long)(watch.resizing - resizing_),                 \
                   (unsigned long)(watch.lookups - lookups_));                                                         \
    } while (0)

static int replace(uint64_t key, uint64_t version)
{
    uint8_t id[20];
    make_id(key, version, id, sizeof id);
    return bid_replace(table, key, (uint32_t)version, id, sizeof id);
}

static int reclaim(void)
{
    return bid_reclaim(table) == 0 ? BID_OK : BID_E_RETIRED;
}

static int see(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    ++*(int *)argument;
    return 0;
}

static int iterate(void)
{
    int seen = 0, status = bid_iterate(table, see, &seen);
    CHECK(seen >= STEADY);
    return status;
}

static void plain_operations(void)
{
    uint64_t key = inode_key(STEADY);
    STEP("insert, new", key, ABSENT, 1, insert(table, key, 1, 20), BID_OK);
    STEP("insert, existing", key, 1, 1, insert(table, key, 2, 20), BID_EXISTS);
    STEP("replace, present", key, 1, 3, replace(key, 3), BID_OK);
    STEP("remove, present", key, 3, ABSENT, bid_remove(table, key), BID_OK);
    STEP("remove, absent", key, ABSENT, ABSENT, bid_remove(table, key), BID_ABSENT);
    STEP("replace, absent", key, ABSENT, ABSENT, replace(key, 4), BID_ABSENT);
    STEP("insert, over a tombstone", key, ABSENT, 5, insert(table, key, 5, 20), BID_OK);
    STEP(NULL, key, 5, ABSENT, bid_remove(table, key), BID_OK);
}

/* Every update until the resize is done: seal, copy, help, move the head, retire. */
static void through_a_resize(const char *begin, uint64_t first)
{
    uint64_t number = first;
    while (!bid_resizing(table)) {
        uint64_t key = inode_key(number++);
        CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
    }
    printf("%s: a resize has begun after %lu inserts\n", begin, (unsigned long)(number - first));
    for (int turn = 0; bid_resizing(table); turn++, number++) {
        uint64_t key = inode_key(number);
        STEP(turn ? NULL : "insert, in a resize", key, ABSENT, 1, insert(table, key, 1, 20), BID_OK);
        STEP(turn ? NULL : "replace, in a resize", key, 1, 6, replace(key, 6), BID_OK);
        STEP(turn ? NULL : "remove, in a resize", key, 6, ABSENT, bid_remove(table, key), BID_OK);
    }
}

static void whole_resizes(void)
{
    uint64_t key = inode_key(1);
    STEP("iterate", key, 1, 1, iterate(), 0);
    STEP("reserve: a resize as a whole", key, 1, 1, bid_reserve(table, 150), BID_OK);
    STEP("shrink: a resize as a whole", key, 1, 1, bid_shrink(table), BID_OK);
    STEP("reclaim", key, 1, 1, reclaim(), BID_OK);
}

/* The insert that begins a resize: plan, map, populate, publish. */
static void beginning(void)
{
    uint64_t number = 50000;
    int began = 0;
    while (!began) {
        uint64_t key = inode_key(number++), steps = watch.steps;
        STEP(NULL, key, ABSENT, 1, insert(table, key, 1, 20), BID_OK);
        began = bid_resizing(table);
        if (began)
            printf("%-32s %8lu instructions\n", "insert, which begins a resize", (unsigned long)(watch.steps - steps));
    }
    CHECK(bid_reserve(table, 0) == BID_OK);
    while (number > 50000)
        CHECK(bid_remove(table, inode_key(--number)) == BID_OK);
}

static void with_table(uint64_t expected, void (*run)(void))
{
    table = make_table((struct bid_options){.expected_entries = expected, .id_size = 20});
    memset(watch.other, 0, sizeof watch.other);
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    run();
    bid_destroy(table);
}

static void resizes(void)
{
    through_a_resize("grow", 2000);
    whole_resizes();
    beginning();
}

/* The handler's inserts use up records, of which a small array has few: beside a resize it does one now and then, with a
 * period that is prime, so that in the course of a resize every kind of instruction has its turn. */
int main(void)
{
    handle(SIGTRAP, on_step);
    handle(SIGUSR1, set_trap_flag);
    handle(SIGUSR2, set_trap_flag);
    with_table(3000, plain_operations);
    with_table(1, resizes);
    printf("and the same with updates from the handler:\n");
    watch.update = 1;
    with_table(20000, plain_operations);
    watch.update = 61;
    with_table(1, resizes);
    CHECK(watch.updates > 1000 && watch.resizing > 1000);
    printf("%lu instructions interrupted, %lu lookups, %lu updates from the handler, %lu refused\n",
           (unsigned long)watch.steps, (unsigned long)watch.lookups, (unsigned long)watch.updates,
           (unsigned long)watch.refused);
    return 0;
}
#endif
