/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Every operation of the table, each stepped from its first instruction to its last.
 *   step LIST                       the scenarios, one a line
 *   step NAME UPDATE_EVERY [FILE]   runs one; prints what was found as JSON; FILE gets the addresses that were reached
 */
#include "stepper.h"

#include "../../csrc/table/hash.h" /* for keys that collide, which need knowledge of the seed */
#include "../../tests/c/check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY inode_key(STEADY) /* the key in question */
#define SEED 7

struct scenario {
    const char *name, *summary;
    uint64_t room;          /* expected_entries of the table */
    void (*prepare)(void);  /* not stepped; may be NULL */
    int (*operate)(void);   /* stepped */
    uint64_t before, after; /* versions of KEY */
    int status;             /* what operate() is to return */
};

static struct bid_inode inode; /* its address is KEY's place in scenarios of the protocol on inodes */

static void give(uint64_t version)
{
    CHECK_STATUS(insert(stepped, KEY, version, 20), BID_OK);
}

static void given(void)
{
    give(1);
}

static void removed(void)
{
    give(1);
    CHECK_STATUS(bid_remove(stepped, KEY), BID_OK);
}

static uint64_t filler;

static void begin_resize(void)
{
    while (!bid_resizing(stepped))
        CHECK_STATUS(insert(stepped, inode_key(2000 + filler++), 1, 20), BID_OK);
}

static void given_in_resize(void)
{
    given();
    begin_resize();
}

/* Inserts that may not allocate, until one cannot be done: paths are full, and no resize has begun. */
static void full(void)
{
    uint8_t id[20];
    int status = BID_OK;
    while (status == BID_OK) {
        uint64_t key = inode_key(2000 + filler++);
        make_id(key, 1, id, sizeof id);
        status = bid_insert_nmi(stepped, key, 1, id, sizeof id);
    }
    CHECK_STATUS(status, BID_E_WOULD_ALLOCATE);
    CHECK(!bid_resizing(stepped));
}

static void roomy(void)
{
    CHECK_STATUS(bid_reserve(stepped, 4000), BID_OK);
}

/* The next key, other than those before, whose path is that of key 0 in arrays of this seed up to 1,024 buckets. */
static uint64_t collide(void)
{
    static uint64_t key;
    const uint64_t ends = 0x3ffull << 54 | 0x3ff;
    do
        key++;
    while ((bid_mix(key, SEED) ^ bid_mix(0, SEED)) & ends);
    return key;
}

static void full_of_collisions(void)
{
    uint8_t id[20] = {1};
    given();
    do
        filler = collide();
    while (bid_insert_nmi(stepped, filler, 1, id, sizeof id) == BID_OK);
    CHECK(!bid_resizing(stepped));
}

/* A retired array, which a pin kept from being freed. */
static int resize_while_pinned(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    roomy();
    return 1;
}

static void retired(void)
{
    CHECK(bid_iterate(stepped, resize_while_pinned, NULL) == 1);
    CHECK(statistics(stepped).retired_arrays == 1);
}

/* ---------------------------------------------------------------------------------------------- operations -- */

static int nothing(void)
{
    return BID_OK;
}

static int do_insert(void)
{
    return insert(stepped, KEY, 5, 20);
}

static int do_replace(void)
{
    uint8_t id[20];
    make_id(KEY, 6, id, sizeof id);
    return bid_replace(stepped, KEY, 6, id, sizeof id);
}

static int do_remove(void)
{
    return bid_remove(stepped, KEY);
}

static int do_lookup(void)
{
    struct bid_build_id id;
    return bid_lookup(stepped, KEY, &id);
}

static int do_grow(void)
{
    return bid_reserve(stepped, 1000);
}

static int do_shrink(void)
{
    return bid_shrink(stepped);
}

/* Inserts and removes of other keys until the tombstones have been dropped. */
static int do_drop_tombstones(void)
{
    uint64_t resizes = bid_resizes(stepped);
    int status = BID_OK;
    while (status == BID_OK && bid_resizes(stepped) == resizes) {
        uint64_t key = inode_key(5000 + filler++);
        status = insert(stepped, key, 1, 20);
        if (status == BID_OK)
            status = bid_remove(stepped, key);
    }
    return status;
}

static int do_reseed(void)
{
    int status = insert(stepped, filler, 1, 20);
    stepper_end();
    return statistics(stepped).resize_begun[BID_RESIZE_RESEED] ? status : BID_ABSENT;
}

static int do_reclaim(void)
{
    return bid_reclaim(stepped) ? BID_E_RETIRED : BID_OK;
}

static int count_keys(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    ++*(int *)argument;
    return 0;
}

static int do_iterate(void)
{
    int seen = 0, status = bid_iterate(stepped, count_keys, &seen);
    return seen > STEADY ? status : BID_ABSENT; /* and what handlers insert */
}

static int do_fork(void)
{
    pid_t child = fork();
    if (child == 0) { /* with the trap flag set, as in the parent */
        int status = insert(stepped, inode_key(3000), 1, 20);
        stepper_end();
        _exit(status != BID_OK || judged.wrong);
    }
    stepper_end();
    int result;
    CHECK(child > 0 && waitpid(child, &result, 0) == child);
    return WIFEXITED(result) && WEXITSTATUS(result) == 0 ? BID_OK : BID_ABSENT;
}

/* ----------------------------------------------------------------------------------------------- threads -- */

static pthread_key_t late;

static void *first_lookup(void *result)
{
    stepper_begin();
    *(int *)result = do_lookup();
    stepper_end();
    return NULL;
}

static void last_lookup(void *result)
{
    stepper_begin();
    *(int *)result = do_lookup();
    stepper_end();
}

static void *ends(void *result)
{
    pthread_setspecific(late, result);
    return NULL;
}

static int in_thread(void *(*run)(void *))
{
    pthread_t thread;
    int result = BID_ABSENT;
    stepper_end();
    CHECK(pthread_create(&thread, NULL, run, &result) == 0 && pthread_join(thread, NULL) == 0);
    return result;
}

static int do_first_pin(void)
{
    return in_thread(first_lookup);
}

static int do_last_pin(void)
{
    CHECK(pthread_key_create(&late, last_lookup) == 0);
    return in_thread(ends);
}

#define CROWD 1200 /* threads, more than there are pin slots */
static pthread_barrier_t crowd_is_there;

static void *occupies(void *unused)
{
    (void)unused;
    CHECK(do_lookup() == BID_OK);
    pthread_barrier_wait(&crowd_is_there);
    for (;;)
        pause();
    return NULL;
}

static void crowded(void)
{
    pthread_attr_t small;
    pthread_t thread;
    given();
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 << 10) == 0);
    CHECK(pthread_barrier_init(&crowd_is_there, NULL, CROWD + 1) == 0);
    for (int i = 0; i < CROWD; i++)
        CHECK(pthread_create(&thread, &small, occupies, NULL) == 0);
    pthread_barrier_wait(&crowd_is_there);
}

/* ------------------------------------------------------------------------------------------------ inodes -- */

static void living_inode(void)
{
    bid_inode_init(&inode, 1, 1, 1);
}

static int do_associate(void)
{
    uint8_t id[20] = {1};
    return bid_inode_associate(stepped, &inode, id, sizeof id);
}

static void associated(void)
{
    living_inode();
    CHECK_STATUS(do_associate(), BID_OK);
}

static int do_evict(void)
{
    return bid_inode_evict(stepped, &inode);
}

static int do_inode_lookup(void)
{
    struct bid_build_id id;
    return bid_inode_lookup(stepped, &inode, &id);
}

static const struct scenario scenarios[] = {
    {"nothing", "no operation: what switching costs", 3000, given, nothing, 1, 1, BID_OK},
    {"insert-new", "insert of a new key", 3000, NULL, do_insert, ABSENT, 5, BID_OK},
    {"insert-existing", "insert of a key that is there", 3000, given, do_insert, 1, 1, BID_EXISTS},
    {"insert-tombstone", "insert over the key's tombstone", 3000, removed, do_insert, ABSENT, 5, BID_OK},
    {"insert-full", "insert into a full path, which resizes", 1, full, do_insert, ABSENT, 5, BID_OK},
    {"replace-present", "replace of a key that is there", 3000, given, do_replace, 1, 6, BID_OK},
    {"replace-absent", "replace of an absent key", 3000, NULL, do_replace, ABSENT, ABSENT, BID_ABSENT},
    {"remove-present", "remove of a key that is there", 3000, given, do_remove, 1, ABSENT, BID_OK},
    {"remove-absent", "remove of an absent key", 3000, NULL, do_remove, ABSENT, ABSENT, BID_ABSENT},
    {"lookup-hit", "lookup of a key that is there", 3000, given, do_lookup, 1, 1, BID_OK},
    {"lookup-miss", "lookup of an absent key", 3000, NULL, do_lookup, ABSENT, ABSENT, BID_ABSENT},
    {"lookup-hit-resizing", "lookup across a resize, present", 1, given_in_resize, do_lookup, 1, 1, BID_OK},
    {"lookup-miss-resizing", "lookup across a resize, absent", 1, begin_resize, do_lookup, ABSENT, ABSENT, BID_ABSENT},
    {"insert-resizing", "insert: seal a path, help a resize that stands", 1, begin_resize, do_insert, ABSENT, 5,
     BID_OK},
    {"replace-resizing", "replace: seal a path, copy, help", 1, given_in_resize, do_replace, 1, 6, BID_OK},
    {"remove-resizing", "remove: seal a path, copy, leave a tombstone", 1, given_in_resize, do_remove, 1, ABSENT,
     BID_OK},
    {"finish-resize", "reserve: finish what others began, grow", 1, given_in_resize, do_grow, 1, 1, BID_OK},
    {"grow", "reserve: a whole resize", 1, given, do_grow, 1, 1, BID_OK},
    {"shrink", "shrink: a whole resize", 4000, given, do_shrink, 1, 1, BID_OK},
    {"drop-tombstones", "updates until tombstones are dropped", 1, given, do_drop_tombstones, 1, 1, BID_OK},
    {"reseed", "insert into a path full of collisions", 300, full_of_collisions, do_reseed, 1, 1, BID_OK},
    {"reclaim", "free a retired array", 1, retired, do_reclaim, ABSENT, ABSENT, BID_OK},
    {"iterate", "iteration over all entries", 1, given, do_iterate, 1, 1, BID_OK},
    {"fork", "fork, and an insert in the child", 3000, given, do_fork, 1, 1, BID_OK},
    {"first-pin", "the first lookup of a thread", 3000, given, do_first_pin, 1, 1, BID_OK},
    {"last-pin", "the last lookup of a thread, as it ends", 3000, given, do_last_pin, 1, 1, BID_OK},
    {"pin-overflow", "a lookup when the pin table is full", 3000, crowded, do_first_pin, 1, 1, BID_OK},
    {"associate", "a build ID for an inode", 3000, living_inode, do_associate, ABSENT, ABSENT, BID_OK},
    {"evict", "eviction of an inode", 3000, associated, do_evict, ABSENT, ABSENT, BID_OK},
    {"inode-lookup", "lookup of an inode", 3000, associated, do_inode_lookup, ABSENT, ABSENT, BID_OK},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static void fill(struct bid_table *table)
{
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
}

static void step(const struct scenario *scenario, uint64_t update_every)
{
    struct bid_options options = {.expected_entries = scenario->room, .id_size = 20};
    options.flags = BID_FIXED_SEED;
    options.seed = SEED;
    stepped = make_table(options);
    second = make_table(options);
    fill(stepped);
    fill(second);
    if (scenario->prepare)
        scenario->prepare();
    judge_begin(KEY, scenario->before, scenario->after, update_every);
    stepper_begin();
    int status = scenario->operate();
    stepper_end();
    if (status != scenario->status)
        judge_wrong(bid_status_name(status), KEY, 0);
    if (judge_version(stepped, KEY) != scenario->after)
        judge_wrong("after the operation", KEY, scenario->after);
}

static void print(const struct scenario *scenario)
{
    printf("{\"name\": \"%s\", \"interrupted\": %lu, \"lookups\": %lu, \"in_resize\": %lu, \"updates\": %lu, "
           "\"refused\": %lu, \"wrong\": %lu, \"max_slots\": %u, \"max_records\": %u, \"first_wrong\": \"%s\"}\n",
           scenario->name, (unsigned long)judged.interrupted, (unsigned long)judged.lookups,
           (unsigned long)judged.in_resize, (unsigned long)judged.updates, (unsigned long)judged.refused,
           (unsigned long)judged.wrong, judged.max_slots, judged.max_records, judged.first_wrong);
}

static void write_reached(const char *path)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (uint64_t i = 0; i < text_bytes() && i < sizeof reached; i++)
        if (reached[i])
            fprintf(file, "%lx\n", (unsigned long)(text_begin() + i));
    CHECK(fclose(file) == 0);
}

int main(int count, char **arguments)
{
    const char *name = count > 1 ? arguments[1] : "LIST";
    stepper_install(judge_visit);
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(name, "LIST") == 0)
            printf("%s\t%s\n", scenarios[i].name, scenarios[i].summary);
        if (strcmp(name, scenarios[i].name) != 0)
            continue;
        step(&scenarios[i], count > 2 ? strtoull(arguments[2], NULL, 10) : 0);
        print(&scenarios[i]);
        if (count > 3)
            write_reached(arguments[3]);
    }
    return 0;
}
