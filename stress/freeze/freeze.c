/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A thread is stopped for good after instruction k of an operation, for every k; another thread must then finish
 * thousands of operations of every kind, growing and shrinking included, and find every entry. Lock-freedom as a test.
 *   freeze DESIGN OPERATION FIRST STRIDE    k is FIRST, FIRST + STRIDE, ...; prints what was found as JSON
 *
 * The operation is stepped once. At each k its process forks: in the child the thread that is in the operation stays in
 * its handler, and a second one does the others' work. A child that does not finish has been blocked: the search stops
 * there.
 */
#include "../common/stepper.h"
#include "../common/watchdog.h"
#include "others.h"

#include "../../tests/c/check.h"

#include <pthread.h>
#include <sys/mman.h>

#define SECONDS 1 /* for what takes some milliseconds */

const struct bid_design *design;
void *table;
uint64_t subject;
struct found *found;

static const struct bid_design *const designs[] = {&bid_design_ours, &bid_design_spinlock};

int put(uint64_t key, uint32_t version, int (*how)(void *, uint64_t, uint32_t, const void *, size_t))
{
    uint8_t id[20];
    make_id(key, version, id, sizeof id);
    return how(table, key, version, id, sizeof id);
}

/* ----------------------------------------------------------------------------------------- where it begins -- */

#define FILL_MOST 100000 /* more than any array here has room for */

static uint64_t filler = FILLERS;

static void until_full(void)
{
    while (put(inode_key(filler++), 1, design->insert_nmi) == BID_OK)
        CHECK(filler < FILLERS + FILL_MOST); /* otherwise the form for NMI context has made room */
    CHECK(!design->resizing(table));
}

static void until_resizing(void)
{
    while (!design->resizing(table))
        CHECK_STATUS(put(inode_key(filler++), 1, design->insert), BID_OK);
}

static int resize_while_pinned(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    CHECK_STATUS(bid_reserve(table, 1000), BID_OK);
    return 1;
}

/* An array that a pin has kept from being freed. */
static void retired(void)
{
    CHECK(bid_iterate(table, resize_while_pinned, NULL) == 1);
}

/* --------------------------------------------------------------------------------- what the victim is in -- */

static void in_insert(void)
{
    put(subject, 1, design->insert);
}

static void in_replace(void)
{
    put(subject, 2, design->replace);
}

static void in_remove(void)
{
    design->remove(table, subject);
}

static struct quiet quiet; /* of this thread, which is in the operation */

static void in_lookup(void)
{
    struct bid_build_id id;
    char before = quiet_enter(&quiet);
    design->lookup(table, subject, &id, NULL);
    quiet_leave(&quiet, before);
}

static void in_insert_nmi(void)
{
    char before = quiet_enter(&quiet);
    put(subject, 1, design->insert_nmi);
    quiet_leave(&quiet, before);
}

static void in_remove_nmi(void)
{
    char before = quiet_enter(&quiet);
    design->remove_nmi(table, subject);
    quiet_leave(&quiet, before);
}

static void in_grow(void)
{
    design->reserve(table, 4 * ENTRIES);
}

static void in_shrink(void)
{
    design->shrink(table);
}

static void in_reclaim(void)
{
    design->reclaim(table);
}

#define THERE 5
#define ABSENT (ENTRIES + 1)
#define ROOMY (ENTRIES + 20)

static const struct operation {
    const char *name;
    void (*act)(void);
    uint64_t subject; /* the number of the key that the operation is about */
    uint64_t room;    /* of the table, to begin with */
    void (*prepare)(void);
} operations[] = {
    {"insert", in_insert, ABSENT, ROOMY, NULL},
    {"replace", in_replace, THERE, ROOMY, NULL},
    {"remove", in_remove, THERE, ROOMY, NULL},
    {"lookup", in_lookup, THERE, ROOMY, NULL},
    {"insert-growing", in_insert, ABSENT, ROOMY, until_full},
    {"insert-resizing", in_insert, ABSENT, ROOMY, until_resizing},
    {"replace-resizing", in_replace, THERE, ROOMY, until_resizing},
    {"remove-resizing", in_remove, THERE, ROOMY, until_resizing},
    {"lookup-resizing", in_lookup, THERE, ROOMY, until_resizing},
    {"insert-nmi-full", in_insert_nmi, ABSENT, ROOMY, until_full},
    {"insert-nmi-resizing", in_insert_nmi, ABSENT, ROOMY, until_resizing},
    {"remove-nmi-resizing", in_remove_nmi, THERE, ROOMY, until_resizing},
    {"grow", in_grow, THERE, ROOMY, NULL},
    {"shrink", in_shrink, THERE, 4 * ENTRIES, NULL},
    {"reclaim", in_reclaim, THERE, ROOMY, retired},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* --------------------------------------------------------------------------------------------- the visits -- */

static uint64_t executed, first, stride;

static void print(const char *operation, int whole)
{
    printf("{\"design\": \"%s\", \"operation\": \"%s\", \"instructions\": %lu, \"whole\": %s", design->name, operation,
           (unsigned long)executed, whole ? "true" : "false");
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"points", found->points},         {"last", found->last},     {"in_resize", found->in_resize},
        {"operations", found->operations}, {"limits", found->limits}, {"max_retired", found->max_retired},
        {"blocked", found->blocked},       {"wrong", found->wrong},   {"quiet_calls", found->quiet.calls},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        printf(", \"%s\": %lu", figures[i].name, (unsigned long)figures[i].value);
    printf("}\n");
}

static const struct operation *operation;

static void stop_here(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        watchdog(SECONDS);
        CHECK(pthread_create(&thread, NULL, others_work, NULL) == 0);
        for (;;)
            pause();
    }
    int result;
    CHECK(waitpid(child, &result, 0) == child);
    found->points++;
    found->last = executed;
    if (result == 0)
        return;
    found->blocked = watchdog_bit(result);
    found->wrong = !found->blocked;
    print(operation->name, 0);
    exit(0);
}

static void on_instruction(uint64_t address)
{
    (void)address;
    if (++executed < first || (executed - first) % stride)
        return;
    char before = quiet_pause(&quiet);
    stop_here();
    quiet_leave(&quiet, before);
}

int main(int count, char **arguments)
{
    CHECK(count == 5);
    size_t o = 0, d = 0;
    while (d < 2 && strcmp(designs[d]->name, arguments[1]) != 0)
        d++;
    while (o < OPERATIONS && strcmp(operations[o].name, arguments[2]) != 0)
        o++;
    CHECK(d < 2 && o < OPERATIONS);
    design = designs[d];
    operation = &operations[o];
    first = strtoull(arguments[3], NULL, 10);
    stride = strtoull(arguments[4], NULL, 10);
    found = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(found != MAP_FAILED && stride > 0);
    table = design->create(operation->room, 7);
    subject = inode_key(operation->subject);
    CHECK(table != NULL);
    for (uint64_t i = 0; i < ENTRIES; i++)
        CHECK_STATUS(put(inode_key(i), 1, design->insert), BID_OK);
    if (operation->prepare)
        operation->prepare();
    if (design == &bid_design_ours)
        quiet_watch(&quiet, &found->quiet);
    stepper_install(on_instruction);
    stepper_begin();
    operation->act();
    stepper_end();
    const char *unsound = design == &bid_design_ours ? bid_audit(table, 0) : NULL; /* all have gone on by now */
    if (unsound)
        fprintf(stderr, "the audit of the table: %s\n", unsound);
    CHECK(!unsound);
    print(operation->name, 1);
    return 0;
}
