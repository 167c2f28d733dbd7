/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A fork after every instruction of an update, in the handler that runs there. The child looks up from the handler, in
 * the state that the update left half done, and inserts and removes by the forms for NMI context. Then it leaves the
 * handler, finishes the update that it inherited, and goes on to update, grow and shrink as any process does. The
 * parent, stepping on, forks the next.
 *
 * Usage: fork STRIDE RESIZE_STRIDE (a fork after every so many instructions; in operations that move a whole array,
 * after every so many; 0: none of those). x86-64 only.
 */
#include "faults.h"

#include "../common/stepper.h"
#include "../common/watchdog.h"

#define STAY 40
#define OTHER 500000     /* keys that children insert and remove from the handler */
#define CHILD_SECONDS 10 /* of a processor; a child that takes longer does not end */

static struct bid_table *table;

/* The operation that is being stepped. */
static struct {
    uint64_t key, before, after; /* the key in question, and its generations before and after; 0: absent */
    uint64_t stride, instructions, forks, in_resize;
    int in_child;
} step;

static uint64_t generation_of(uint64_t key)
{
    struct bid_build_id id;
    int status = bid_lookup(table, key, &id);
    if (status == BID_ABSENT)
        return 0;
    CHECK_STATUS(status, BID_OK);
    CHECK(id_is(&id, key, id.generation, 20));
    return id.generation;
}

static void check_stayed(void)
{
    for (uint64_t i = 0; i < STAY; i++)
        CHECK(inode_key(i) == step.key || generation_of(inode_key(i)) == 1);
}

/* In the child, still in the handler: all that any context may do. */
static void from_the_handler(void)
{
    uint64_t now = generation_of(step.key), other = inode_key(OTHER);
    uint8_t id[20];
    CHECK(now == step.before || now == step.after);
    check_stayed();
    make_id(other, 7, id, sizeof id);
    int status = bid_insert_nmi(table, other, 7, id, sizeof id);
    CHECK(status == BID_OK || status == BID_E_WOULD_ALLOCATE);
    CHECK(generation_of(other) == (status == BID_OK ? 7 : 0));
    if (status == BID_OK)
        status = bid_remove_nmi(table, other);
    CHECK(status == BID_OK || status == BID_E_WOULD_ALLOCATE);
}

/* In the child, after the update that it inherited. */
static void from_the_thread(void)
{
    CHECK(generation_of(step.key) == step.after);
    check_stayed();
    for (uint64_t i = 0; i < 400; i++)
        CHECK_STATUS(insert(table, inode_key(OTHER + 1 + i), 1, 20), BID_OK);
    CHECK_STATUS(shrink_table(table), BID_OK);
    for (uint64_t i = 0; i < 400; i++)
        CHECK_STATUS(bid_remove(table, inode_key(OTHER + 1 + i)), BID_OK);
    CHECK(generation_of(step.key) == step.after);
    check_stayed();
    CHECK(bid_reclaim(table) == 0);
    bid_destroy(table);
    _exit(0);
}

static void on_step(uint64_t address)
{
    (void)address;
    if (step.instructions++ % step.stride)
        return;
    step.forks++;
    step.in_resize += (uint64_t)bid_resizing(table);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        watchdog(CHILD_SECONDS);
        step.in_child = 1;
        stepper_leave();
        from_the_handler();
        return;
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* One operation, stepped, with a fork at each stride. */
#define STEP(the_stride, the_key, was, becomes, call)                                                                  \
    do {                                                                                                               \
        step.stride = (the_stride);                                                                                    \
        step.key = (the_key);                                                                                          \
        step.before = (was);                                                                                           \
        step.after = (becomes);                                                                                        \
        stepper_begin();                                                                                               \
        int result_ = (call);                                                                                          \
        if (!step.in_child)                                                                                            \
            stepper_end();                                                                                             \
        CHECK_STATUS(result_, BID_OK);                                                                                 \
        if (step.in_child)                                                                                             \
            from_the_thread();                                                                                         \
        CHECK(generation_of(step.key) == step.after);                                                                  \
    } while (0)

static int replace(uint64_t key, uint64_t generation)
{
    uint8_t id[20];
    make_id(key, generation, id, sizeof id);
    return bid_replace(table, key, (uint32_t)generation, id, sizeof id);
}

static void insert_replace_remove(uint64_t key, uint64_t stride)
{
    STEP(stride, key, 0, 1, insert(table, key, 1, 20));
    STEP(stride, key, 1, 2, replace(key, 2));
    STEP(stride, key, 2, 0, bid_remove(table, key));
}

static void begin(void)
{
    table =
        make_table((struct bid_options){.expected_entries = 300, .id_size = 20, .seed = 1, .flags = BID_FIXED_SEED});
    for (uint64_t i = 0; i < STAY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
}

static void report(const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "%s_instructions", name);
    figure(text, step.instructions);
    snprintf(text, sizeof text, "%s_forks", name);
    figure(text, step.forks);
    memset(&step, 0, sizeof step);
}

int main(int argc, char **argv)
{
    uint64_t stride = parameter(argc, argv, 1), resize_stride = parameter(argc, argv, 2), number = STAY, in_resize;
    stepper_install(on_step);
    begin();
    insert_replace_remove(inode_key(STAY), stride);
    report("updates");
    while (!bid_resizing(table))
        CHECK_STATUS(insert(table, inode_key(number++), 1, 20), BID_OK);
    insert_replace_remove(inode_key(number), stride);
    in_resize = step.in_resize;
    report("updates_in_a_resize");
    CHECK(in_resize > 0);
    if (resize_stride) {
        STEP(resize_stride, inode_key(1), 1, 1, bid_reserve(table, 1000));
        STEP(resize_stride, inode_key(1), 1, 1, shrink_table(table));
    }
    report("whole_resizes");
    bid_destroy(table);
    return 0;
}
