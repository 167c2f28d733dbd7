/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fails the n-th request for memory, for every n, of every operation, in tables of many fill levels: before a resize,
 * at its beginning, half way through it, and where records run out. An operation that says it failed must have changed
 * nothing, and must succeed when it is called again; one that says it succeeded must have done its work without that
 * memory. Afterwards the table goes on, and destroying it gives everything back.
 *
 * Usage: allocation STRIDE FLAGS (fill levels are STRIDE apart, but all of those around a resize; enum bid_flags)
 */
#define _GNU_SOURCE
#include "faults.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AROUND 25 /* levels before and after one at which a resize begins */
#define BEYOND 2  /* times the level of the first resize, so far levels go */
#define SMALL 300 /* entries that a table has room for at first */
#define MANY 200  /* entries of insert_many */

/* ------------------------------------------------------------------------------------------ in libc's place -- */

static uint64_t fail_at, requests, failed; /* fail_at counts down to the request that fails; 0: none does */
static int64_t mapped;                     /* bytes */

static int fails(void)
{
    requests++;
    if (!fail_at || --fail_at)
        return 0;
    failed++;
    errno = ENOMEM;
    return 1;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fails())
        return MAP_FAILED;
    mapped += (int64_t)bytes;
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

int munmap(void *address, size_t bytes)
{
    mapped -= (int64_t)bytes;
    return (int)syscall(SYS_munmap, address, bytes);
}

int madvise(void *address, size_t bytes, int advice)
{
    return fails() ? -1 : (int)syscall(SYS_madvise, address, bytes, advice);
}

int mlock(const void *address, size_t bytes)
{
    return fails() ? -1 : (int)syscall(SYS_mlock, address, bytes);
}

/* --------------------------------------------------------------------------------------------- operations -- */

/* Each works on the entries from number `level` on; those below are there and stay. */
static int run_insert(struct bid_table *table, uint64_t level)
{
    return insert(table, inode_key(level), 1, 20);
}

static int run_replace(struct bid_table *table, uint64_t level)
{
    uint8_t id[20];
    make_id(inode_key(level), 1, id, sizeof id);
    return bid_replace(table, inode_key(level), 1, id, sizeof id);
}

static int run_upsert(struct bid_table *table, uint64_t level)
{
    uint8_t id[20];
    make_id(inode_key(level), 1, id, sizeof id);
    return bid_upsert(table, inode_key(level), 1, id, sizeof id);
}

static int run_remove(struct bid_table *table, uint64_t level)
{
    return bid_remove(table, inode_key(level));
}

static int run_remove_generation(struct bid_table *table, uint64_t level)
{
    return bid_remove_generation(table, inode_key(level), 1);
}

static int run_reserve(struct bid_table *table, uint64_t level)
{
    return bid_reserve(table, level + 1000);
}

static int run_shrink(struct bid_table *table, uint64_t level)
{
    (void)level;
    return shrink_table(table);
}

static int run_reclaim(struct bid_table *table, uint64_t level)
{
    (void)level;
    return bid_reclaim(table) == 0 ? BID_OK : BID_E_RETIRED;
}

static int see(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    return 0;
}

static int run_iterate(struct bid_table *table, uint64_t level)
{
    (void)level;
    return bid_iterate(table, see, NULL);
}

static size_t inserted;

static int run_insert_many(struct bid_table *table, uint64_t level)
{
    uint64_t keys[MANY];
    uint8_t ids[MANY][20];
    for (uint64_t i = 0; i < MANY; i++) {
        keys[i] = inode_key(level + i);
        make_id(keys[i], 1, ids[i], sizeof ids[i]);
    }
    return bid_insert_many(table, keys, MANY, ids[0], sizeof ids[0], NULL, &inserted);
}

static const struct operation {
    const char *name;
    uint64_t before, after; /* entries from number `level` on, before it and after it */
    int (*run)(struct bid_table *table, uint64_t level);
    int status; /* where it succeeds at once */
} operations[] = {
    {"insert", 0, 1, run_insert, BID_OK},
    {"insert_existing", 1, 1, run_insert, BID_EXISTS},
    {"replace", 1, 1, run_replace, BID_OK},
    {"upsert", 0, 1, run_upsert, BID_OK},
    {"upsert_existing", 1, 1, run_upsert, BID_EXISTS},
    {"remove", 1, 0, run_remove, BID_OK},
    {"remove_absent", 0, 0, run_remove, BID_ABSENT},
    {"remove_generation", 1, 0, run_remove_generation, BID_OK},
    {"insert_many", 0, MANY, run_insert_many, BID_OK},
    {"reserve", 0, 0, run_reserve, BID_OK},
    {"shrink", 0, 0, run_shrink, BID_OK},
    {"reclaim", 0, 0, run_reclaim, BID_OK},
    {"iterate", 0, 0, run_iterate, BID_OK},
};

/* ------------------------------------------------------------------------------------------- one failure -- */

static struct {
    uint64_t tries, errors, unharmed, in_resize;
} tally;

static void check_table(const struct bid_table *table, uint64_t entries)
{
    check_entries(table, 0, entries);
    check_absent(table, entries, entries + 3);
    CHECK(bid_count(table) == entries);
}

/* The table goes on: through a resize, and back. */
static void go_on(struct bid_table *table, uint64_t entries)
{
    uint64_t resizes = bid_resizes(table);
    while (bid_resizes(table) == resizes)
        CHECK_STATUS(insert(table, inode_key(entries++), 1, 20), BID_OK);
    check_table(table, entries);
    CHECK_STATUS(shrink_table(table), BID_OK);
    check_table(table, entries);
}

/* Fails request n of an operation at a level. Returns whether the operation made so many. */
static int fail_one(const struct operation *operation, uint64_t level, uint64_t n, uint32_t flags)
{
    int64_t mapped_before = mapped;
    struct bid_table *table = make_table((struct bid_options){
        .expected_entries = SMALL, .id_size = 20, .seed = 1 + level, .flags = flags | BID_FIXED_SEED});
    for (uint64_t i = 0; i < level + operation->before; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    int resizing = bid_resizing(table);
    uint64_t failed_before = failed;
    fail_at = n;
    int status = operation->run(table, level);
    fail_at = 0;
    int did_fail = failed != failed_before;
    if (status >= 0) {
        CHECK_STATUS(status, operation->status);
        check_table(table, level + operation->after);
    } else {
        CHECK(did_fail && (status == BID_E_NO_MEMORY || status == BID_E_MLOCK));
        check_table(table, level + (operation->run == run_insert_many ? inserted : operation->before));
        status = operation->run(table, level);
        CHECK_STATUS(status, operation->status);
        check_table(table, level + operation->after);
        tally.errors++;
        tally.in_resize += (uint64_t)resizing;
    }
    tally.tries++;
    tally.unharmed += did_fail && status >= 0;
    go_on(table, level + operation->after);
    bid_destroy(table);
    CHECK(mapped == mapped_before);
    return did_fail;
}

/* So many entries make a resize begin. */
static uint64_t first_resize(uint32_t flags)
{
    uint64_t level = 0;
    struct bid_table *table =
        make_table((struct bid_options){.expected_entries = SMALL, .id_size = 20, .flags = flags});
    while (!bid_resizing(table))
        CHECK_STATUS(insert(table, inode_key(level++), 1, 20), BID_OK);
    bid_destroy(table);
    return level;
}

static void fail_all(const struct operation *operation, uint64_t stride, uint32_t flags)
{
    uint64_t most = 0, resize = first_resize(flags);
    for (uint64_t level = 0; level < resize * BEYOND; level++) {
        if (level % stride && (level + AROUND < resize || level > resize + AROUND))
            continue;
        uint64_t n = 1;
        while (fail_one(operation, level, n, flags))
            n++;
        most = n - 1 > most ? n - 1 : most;
    }
    figure(operation->name, most);
}

/* ------------------------------------------------------------------------------------------------- create -- */

enum created { CREATE_RECOVERED = 10, CREATE_UNHARMED };

static enum created create_failing(uint64_t n, uint32_t flags)
{
    struct bid_options options = {.size = sizeof options, .id_size = 20, .flags = flags};
    struct bid_table *table;
    fail_at = n;
    int status = bid_create(&table, &options);
    fail_at = 0;
    if (status < 0) {
        CHECK(failed && !table);
        CHECK(status == BID_E_NO_MEMORY || status == BID_E_MLOCK);
        CHECK_STATUS(bid_create(&table, &options), BID_OK);
    }
    go_on(table, 0);
    bid_destroy(table);
    return failed ? CREATE_RECOVERED : CREATE_UNHARMED;
}

/* The first table of a process also makes its pins, so each failure has a process of its own. */
static void fail_create(uint32_t flags)
{
    for (uint64_t n = 1;; n++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid)
            _exit((int)create_failing(n, flags));
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) >= CREATE_RECOVERED);
        if (WEXITSTATUS(status) == CREATE_UNHARMED) {
            figure("create", n - 1);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t stride = parameter(argc, argv, 1);
    uint32_t flags = (uint32_t)parameter(argc, argv, 2);
    fail_create(flags);
    bid_destroy(make_table((struct bid_options){.flags = flags})); /* the pins of this process */
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        fail_all(&operations[i], stride, flags);
    figure("tried", tally.tries);
    figure("said_so", tally.errors);
    figure("in_a_resize", tally.in_resize);
    figure("did_without", tally.unharmed);
    CHECK(tally.errors > 0); /* in a resize hardly ever: what it needs was there before it began */
    return 0;
}
