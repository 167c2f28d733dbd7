/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Times what is done in chunks of BENCH_CHUNK operations, one look at the clock between two. The other contenders have
 * emptied the caches, so the first chunks are not timed. A chunk that took four times the median or more was
 * interrupted, by another process or by another virtual machine. The mean of the others is the sample.
 */
#include "bench.h"

#include <stdlib.h>

#define WARM_CHUNKS 256
#define CHUNKS_MIN 50 /* for a median that is not an interruption */
#define CHUNKS_MAX (1u << 18)
#define INTERRUPTED 4 /* times the median */

static uint32_t times[CHUNKS_MAX], sorted[CHUNKS_MAX];
static double time_in_all, time_left_out;

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t median(size_t count)
{
    for (size_t i = 0; i < count; i++)
        sorted[i] = times[i];
    qsort(sorted, count, sizeof *sorted, compare);
    return sorted[count / 2];
}

static double mean_of_uninterrupted(size_t count)
{
    double limit = (double)median(count) * INTERRUPTED, sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        time_in_all += times[i];
        if (times[i] < limit) {
            sum += times[i];
            kept++;
        } else {
            time_left_out += times[i];
        }
    }
    return sum / (double)kept / BENCH_CHUNK;
}

double bench_time_chunks(void (*chunk)(void *argument), void *argument, uint64_t batch_ns, int (*go_on)(void *argument),
                         void *go_on_argument)
{
    for (int warm = 0; warm < WARM_CHUNKS; warm++)
        chunk(argument);
    size_t count = 0;
    uint64_t begin = bench_now(), last = begin, now = begin;
    while (count < CHUNKS_MAX && (count < CHUNKS_MIN || now - begin < batch_ns || (go_on && go_on(go_on_argument)))) {
        chunk(argument);
        now = bench_now();
        times[count++] = now - last < UINT32_MAX ? (uint32_t)(now - last) : UINT32_MAX;
        last = now;
    }
    return mean_of_uninterrupted(count);
}

double bench_left_out(void)
{
    return time_in_all > 0 ? time_left_out / time_in_all : 0;
}
