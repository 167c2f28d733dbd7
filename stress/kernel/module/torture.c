/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The torture module: insmod runs it, and returns when it is over. Its report is lines of name=value.
 *
 * First the updaters run alone for `warm` updates: what they execute then is what thread context executes.
 * torture_mark() marks the end of that in QEMU's record of translated code. Then NMIs come.
 */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/sched/task.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "torture.h"

static ulong nmis = 100000, warm = 2000, bear = 1000;
static uint seconds = 300, patience = 10;
static bool map_hits;
bool rival;
int ncpus = 1, most = 700, swing = 600, period = 1600, least = 300, dwell, hpet = 1, rare = 8;
uint seed = 1;
unsigned long text, text_size;
module_param(nmis, ulong, 0444);    /* ends after so many */
module_param(seconds, uint, 0444);  /* or after so many, by the guest's clock */
module_param(patience, uint, 0444); /* of the watchdog, in seconds: a busy machine stands still, too */
module_param(warm, ulong, 0444);    /* updates before the first NMI */
module_param(bear, ulong, 0444);    /* or after so many wrong answers */
module_param(rival, bool, 0444);    /* buckets with a spinlock each instead of the table */
module_param_named(cpus, ncpus, int, 0444);
module_param(most, int, 0444);   /* keys of an updater */
module_param(swing, int, 0444);  /* turns of a stretch */
module_param(period, int, 0444); /* of the HPET: ticks between two NMIs vary by that */
module_param(least, int, 0444);  /* and are at least that: less than the way out of a handler is too little */
module_param(dwell, int, 0444);  /* one NMI of so many stays while the other processor resizes */
module_param(hpet, int, 0444);
module_param(rare, int, 0444); /* an address with fewer NMIs gets the next one close by */
module_param(seed, uint, 0444);
module_param(text, ulong, 0444); /* where the code of the table is */
module_param(text_size, ulong, 0444);
module_param_named(map, map_hits, bool, 0444); /* print the NMIs at each address */

struct updater updaters[CPUS * UPDATERS];
struct cpu cpus[CPUS];
struct bid_table *table, *second;
const struct design *design;
u32 *hits;
int armed, stop;

static u64 sum_cpus(size_t offset)
{
    u64 sum = 0;
    int i;
    for (i = 0; i < ncpus; i++)
        sum += *(u64 *)((char *)&cpus[i] + offset);
    return sum;
}
#define SUM(field) sum_cpus(offsetof(struct cpu, field))

static u64 updates(void)
{
    u64 sum = 0;
    int i;
    for (i = 0; i < ncpus * UPDATERS; i++)
        sum += READ_ONCE(updaters[i].done);
    return sum;
}

static noinline void torture_mark(void)
{
    barrier();
}

static void report_kinds(void)
{
    static const char *const names[KINDS] = {"insert",  "replace", "upsert", "remove", "many",
                                             "reserve", "shrink",  "walk",   "table"};
    int kind, status, i;
    for (kind = 0; kind < KINDS; kind++) {
        u64 sum = 0;
        for (i = 0; i < ncpus * UPDATERS; i++)
            sum += updaters[i].of[kind];
        pr_info("bid_torture: turns_%s=%llu\n", names[kind], sum);
    }
    for (status = 0; status < 32; status++) {
        u64 sum = 0;
        for (i = 0; i < ncpus * UPDATERS; i++)
            sum += updaters[i].errors[status];
        if (sum)
            pr_info("bid_torture: failed_%s=%llu\n", bid_status_name(-status), sum);
    }
}

static void report(int blocked)
{
    static const char *const names[WRONGS] = {"not_stable", "neither", "back",       "not_as_left", "older",
                                              "not_absent", "not_own", "bad_status", "not_second",  "over_bound"};
    int kind;
    for (kind = 0; kind < WRONGS; kind++) {
        u64 sum = sum_cpus(offsetof(struct cpu, wrong) + kind * sizeof(u64));
        if (sum)
            pr_info("bid_torture: wrong_%s=%llu\n", names[kind], sum);
    }
    report_kinds();
    pr_info("bid_torture: nmis=%llu in_text=%llu in_update=%llu in_resize=%llu dwelt=%llu\n", SUM(entered),
            SUM(in_text), SUM(in_update), SUM(in_resize), SUM(dwelt));
    pr_info("bid_torture: lookups=%llu before=%llu after=%llu second=%llu most_slots=%llu most_records=%llu\n",
            SUM(lookups), SUM(before), SUM(after), SUM(second), max(cpus[0].most_slots, cpus[1].most_slots),
            max(cpus[0].most_records, cpus[1].most_records));
    pr_info("bid_torture: updates=%llu nmi_updates=%llu nmi_refused=%llu resizes=%llu\n", updates(), SUM(updates),
            SUM(refused), table ? bid_resizes(table) : 0);
    pr_info("bid_torture: again=%llu most_row=%llu\n", SUM(again), max(cpus[0].most_row, cpus[1].most_row));
    pr_info("bid_torture: wrong=%llu blocked=%d\n", SUM(wrongs), blocked);
}

#define PROGRESS 10000 /* NMIs from one line to the next */
#define HITS_A_LINE 12

static void report_hits(void)
{
    char line[HITS_A_LINE * 24];
    unsigned long offset;
    int used = 0, n = 0;
    for (offset = 0; offset < text_size; offset++) {
        if (!hits[offset])
            continue;
        used += scnprintf(line + used, sizeof(line) - used, " %lx:%u", offset, hits[offset]);
        if (++n % HITS_A_LINE)
            continue;
        pr_info("bid_torture: hits%s\n", line);
        used = 0;
    }
    if (used)
        pr_info("bid_torture: hits%s\n", line);
}

/* What stood still cannot be stopped, so the machine is. */
static void give_up(const char *what)
{
    int i;
    for (i = 0; i < CPUS; i++)
        cpus[i].quiet = 1;
    pr_emerg("bid_torture: BLOCKED: %s\n", what);
    report(1);
    for (i = 0; i < ncpus * UPDATERS; i++)
        pr_info("bid_torture: updater %d: %llu updates, turn %llu, doing %d, active %d\n", i, updaters[i].done,
                updaters[i].turn, updaters[i].in_update ? updaters[i].doing : -1, updaters[i].op.active);
    mdelay(100);
    emergency_restart();
}

/* Finds a handler that does not return, and updates that do not go on. Runs in an interrupt of the last processor. */
static enum hrtimer_restart watch(struct hrtimer *timer)
{
    static u64 handlers_since, updates_since, left, done;
    u64 now = ktime_get_ns(), limit = (u64)patience * NSEC_PER_SEC;
    if (SUM(left) != left || SUM(left) == SUM(entered) || !handlers_since)
        handlers_since = now;
    if (updates() != done || !updates_since)
        updates_since = now;
    left = SUM(left);
    done = updates();
    if (now - handlers_since > limit)
        give_up("an NMI handler has not returned");
    if (now - updates_since > limit)
        give_up("the updates stand still");
    hrtimer_forward_now(timer, ms_to_ktime(100));
    return HRTIMER_RESTART;
}

static struct hrtimer watchdog;

static long watch_from_here(void *unused)
{
    hrtimer_init(&watchdog, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
    watchdog.function = watch;
    hrtimer_start(&watchdog, ms_to_ktime(100), HRTIMER_MODE_REL_PINNED_HARD);
    return 0;
}

static int updaters_start(void)
{
    int i;
    for (i = 0; i < ncpus * UPDATERS; i++) {
        struct updater *updater = &updaters[i];
        updater->number = i;
        updater->cpu = i / UPDATERS;
        updater->random = (seed + i * 2654435761u) | 1;
        updater->next = 1;
        updater->turn = i * swing; /* not in step with the others */
        updater->task = kthread_create(updater_run, updater, "bid_update/%d", i);
        if (IS_ERR(updater->task))
            return PTR_ERR(updater->task);
        kthread_bind(updater->task, updater->cpu);
        get_task_struct(updater->task);
    }
    for (i = 0; i < ncpus * UPDATERS; i++)
        wake_up_process(updaters[i].task);
    return 0;
}

static int table_make(void)
{
    struct bid_options options = {
        .size = sizeof(options), .id_size = ID_SIZE, .flags = BID_FIXED_SEED, .seed = seed, .expected_entries = STABLE};
    int i, status = BID_OK;
    u8 id[ID_SIZE];
    design = rival ? &spinlock : &ours;
    if (rival ? rival_make() : bid_create(&table, &options) != BID_OK)
        return -ENOMEM;
    for (i = 0; i < STABLE && status == BID_OK; i++) {
        id_make(id, key_stable(i), 1);
        status = design->insert(key_stable(i), 1, id);
    }
    return status == BID_OK ? 0 : -EINVAL;
}

static void table_destroy(void)
{
    bid_destroy(table);
    rival_free();
    vfree(hits);
}

/* So that a machine that is slow is told from one that hangs. */
static void say_progress(void)
{
    static u64 said;
    u64 passed = SUM(left);
    if (passed - said < PROGRESS)
        return;
    said = passed;
    pr_info("bid_torture: passed %llu, again %llu\n", passed, SUM(again));
}

static int torture(void)
{
    u64 start = ktime_get_ns();
    int i, status = updaters_start();
    if (!status)
        status = work_on_cpu(ncpus - 1, watch_from_here, NULL);
    if (status)
        return status;
    while (updates() < warm)
        msleep(20);
    torture_mark();
    status = interrupts_start();
    while (!status && SUM(left) < nmis && SUM(wrongs) < bear && ktime_get_ns() - start < seconds * NSEC_PER_SEC) {
        msleep(50);
        say_progress();
    }
    WRITE_ONCE(stop, 1);
    for (i = 0; i < ncpus * UPDATERS; i++) {
        kthread_stop(updaters[i].task);
        put_task_struct(updaters[i].task);
    }
    interrupts_stop();
    hrtimer_cancel(&watchdog);
    return status;
}

static int __init torture_init(void)
{
    int status;
    if (ncpus > CPUS || most > KEYS || !text)
        return -EINVAL;
    hits = vzalloc(text_size * sizeof(*hits));
    if (!hits)
        return -ENOMEM;
    cpus[0].random = seed * 2 + 1;
    cpus[1].random = seed * 2 + 3;
    pr_info("bid_torture: mark=%px\n", torture_mark);
    status = table_make();
    if (!status)
        status = torture();
    if (!status) {
        report(0);
        if (map_hits)
            report_hits();
    }
    table_destroy();
    return status;
}

static void __exit torture_exit(void)
{
}

module_init(torture_init);
module_exit(torture_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("Torture of the build-ID table under real NMIs");
