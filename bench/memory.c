/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Resident bytes an entry, right after the table has grown and at the fill just before it grows again: the two ends of
 * the cycle that a size lies in. Each is measured in a child of its own, from before the table is created, so that no
 * allocator's history and no earlier table counts; what a process pays once (pins, worker threads) counts in full.
 */
#include "bench.h"

#include "pybuildid.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bench_points all_points[BENCH_SIZES_MAX];
static size_t points_count;

const struct bench_points *bench_memory_points(size_t *count)
{
    *count = points_count;
    return all_points;
}

/* ---------------------------------------------------------------------------------------------- children -- */

struct job {
    const struct bench_contender *contender; /* NULL: find the points instead */
    const struct bench_keys *keys;
    uint64_t seed;
    size_t entries;
};

struct answer {
    uint64_t bytes;
    struct bench_points points;
};

/* Inserts until a resize begins past the size. A resize is seen by bid_resizing() after each insert. */
static struct bench_points find_points(const struct job *job)
{
    struct bench_points points = {.size = job->entries};
    void *table = bench_pybuildid.create(job->seed);
    int was_resizing = 0;
    for (size_t i = 0; i < job->keys->n; i++) {
        if (bench_pybuildid.insert(table, &job->keys->present[i], &job->keys->next[i], 1) != 1)
            bench_die("an insert failed");
        int resizing = bid_resizing(table);
        if (was_resizing && !resizing)
            points.after = i + 1;
        if (!was_resizing && resizing && points.after && i >= job->entries) {
            points.before = i;
            return points;
        }
        was_resizing = resizing;
    }
    bench_die("the table did not grow between %zu and %zu entries", job->entries, job->keys->n);
}

static uint64_t measure(const struct job *job)
{
    bench_resident();
    uint64_t before = bench_resident();
    job->contender->thread_begin();
    void *table = job->contender->create(job->seed);
    if (job->contender->insert(table, job->keys->present, job->keys->next, job->entries) != job->entries)
        bench_die("%s: an insert failed", job->contender->name);
    job->contender->settle(table);
    if (job->contender == &bench_pybuildid && bid_resizing(table))
        bench_die("the table is being resized where it should not be");
    return bench_resident() - before;
}

static struct answer in_child(const struct job *job)
{
    struct answer answer = {0};
    int ends[2], status;
    if (pipe(ends) != 0)
        bench_die("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        bench_die("fork: %s", strerror(errno));
    if (child == 0) {
        if (job->contender)
            answer.bytes = measure(job);
        else
            answer.points = find_points(job);
        _exit(write(ends[1], &answer, sizeof answer) != sizeof answer);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], &answer, sizeof answer);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || status != 0 || length != sizeof answer)
        bench_die("the child that measures memory failed");
    return answer;
}

/* ------------------------------------------------------------------------------------------------ points -- */

void bench_memory(const struct bench_config *config, size_t size)
{
    struct bench_keys *keys = bench_keys_make(5 * size / 2, config->seed);
    struct bench_points points = in_child(&(struct job){NULL, keys, config->seed, size}).points;
    for (unsigned i = 0; bench_contenders[i]; i++) {
        struct job job = {bench_contenders[i], keys, config->seed, points.after};
        bench_sample("memory right after a grow", job.contender->name, size,
                     (double)in_child(&job).bytes / (double)job.entries);
        job.entries = points.before;
        bench_sample("memory just before a grow", job.contender->name, size,
                     (double)in_child(&job).bytes / (double)job.entries);
    }
    all_points[points_count++] = points;
    bench_keys_free(keys);
}
