/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Samples, medians, and ratios with their bounds. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define FIGURES_MAX 256

static struct bench_figure all_figures[FIGURES_MAX];
static size_t figures_count;

const struct bench_figure *bench_figures(size_t *count)
{
    *count = figures_count;
    return all_figures;
}

const struct bench_figure *bench_find(const char *what, const char *who, size_t size)
{
    for (size_t i = 0; i < figures_count; i++)
        if (all_figures[i].size == size && !strcmp(all_figures[i].what, what) && !strcmp(all_figures[i].who, who))
            return &all_figures[i];
    return NULL;
}

void bench_sample(const char *what, const char *who, size_t size, double value)
{
    struct bench_figure *figure = (struct bench_figure *)bench_find(what, who, size);
    if (!figure) {
        if (figures_count == FIGURES_MAX)
            bench_die("more than %d figures", FIGURES_MAX);
        figure = &all_figures[figures_count++];
        *figure = (struct bench_figure){.what = what, .who = who, .size = size};
    }
    if (figure->count < BENCH_ROUNDS_MAX)
        figure->samples[figure->count++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_spread bench_spread(const double *samples, unsigned count)
{
    double sorted[BENCH_ROUNDS_MAX];
    memcpy(sorted, samples, count * sizeof *samples);
    qsort(sorted, count, sizeof *sorted, compare);
    return (struct bench_spread){(sorted[(count - 1) / 2] + sorted[count / 2]) / 2, sorted[0], sorted[count - 1]};
}

/* ------------------------------------------------------------------------------------------------ ratios -- */

#define MIDDLE 57000
#define LARGE 1000000
#define NO_LIBURCU "needs liburcu (Debian: apt-get install liburcu-dev)"
#define NO_PARTNER "needs a second processor"

/* A ratio of two figures; without a second one, the first figure itself. Bounds hold from a size on. */
struct rule {
    const char *label, *what, *who, *what2, *who2;
    double bound;
    size_t from, below;
    const char *why_not;
};

#define OWN "pybuildid"
static const struct rule rules[] = {
    {"hit / cds_lfht hit", "hit", OWN, "hit", BENCH_LFHT, 0, 0, MIDDLE, NO_LIBURCU},
    {"hit / cds_lfht hit", "hit", OWN, "hit", BENCH_LFHT, 1.0 / 4, MIDDLE, LARGE, NO_LIBURCU},
    {"hit / cds_lfht hit", "hit", OWN, "hit", BENCH_LFHT, 1.0 / 10, LARGE, SIZE_MAX, NO_LIBURCU},
    {"dependent hit / dependent load, 4 KiB pages", "dependent hit", OWN, "dependent hit", BENCH_PLAIN, 1.2, LARGE,
     SIZE_MAX, NULL},
    {"dependent hit / dependent load, huge pages", "dependent hit", OWN, "dependent hit", BENCH_HUGE, 0, LARGE,
     SIZE_MAX, NULL},
    {"miss / hit", "miss", OWN, "hit", OWN, 0, 0, MIDDLE, NULL},
    {"miss / hit", "miss", OWN, "hit", OWN, 1.0 / 2, MIDDLE, SIZE_MAX, NULL},
    {"hit beside churn / quiet", "hit beside churn", OWN, "hit before churn", OWN, 1.5, 0, SIZE_MAX, NO_PARTNER},
    {"hit beside resizes / quiet", "hit beside resizes", OWN, "hit before resizes", OWN, 1.5, 0, SIZE_MAX, NO_PARTNER},
    {"insert / cds_lfht insert", "insert, from empty", OWN, "insert, from empty", BENCH_LFHT, 1.0 / 2, 0, SIZE_MAX,
     NO_LIBURCU},
    {"remove / cds_lfht remove", "remove, to empty", OWN, "remove, to empty", BENCH_LFHT, 0, 0, SIZE_MAX, NO_LIBURCU},
    {"bytes an entry right after a grow", "memory right after a grow", OWN, NULL, NULL, 64, MIDDLE, SIZE_MAX, NULL},
    {"bytes an entry just before a grow", "memory just before a grow", OWN, NULL, NULL, 50, MIDDLE, SIZE_MAX, NULL},
};

/* Round by round, so that drift between rounds cancels out. */
static struct bench_ratio ratio_of(const struct rule *rule, size_t size)
{
    struct bench_ratio ratio = {.label = rule->label, .size = size, .bound = rule->bound, .why_not = rule->why_not};
    const struct bench_figure *a = bench_find(rule->what, rule->who, size);
    const struct bench_figure *b = rule->what2 ? bench_find(rule->what2, rule->who2, size) : NULL;
    if (!a || (rule->what2 && !b))
        return ratio;
    double values[BENCH_ROUNDS_MAX];
    for (unsigned i = 0; i < a->count; i++)
        values[i] = a->samples[i] / (b ? b->samples[i] : 1);
    ratio.measured = 1;
    ratio.value = bench_spread(values, a->count);
    ratio.ok = !ratio.bound || ratio.value.median <= ratio.bound;
    return ratio;
}

size_t bench_ratios(const struct bench_config *config, struct bench_ratio *ratios, size_t capacity)
{
    size_t count = 0;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (unsigned i = 0; i < config->size_count; i++) {
            size_t size = config->sizes[i];
            if (size >= rules[r].from && size < rules[r].below && count < capacity)
                ratios[count++] = ratio_of(&rules[r], size);
        }
    return count;
}
