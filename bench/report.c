/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The figures and ratios, for reading. */
#include "bench.h"

#include <string.h>

#define RATIOS_MAX 128

static const char *const columns[] = {"pybuildid", BENCH_LFHT, BENCH_PLAIN, BENCH_HUGE};
#define COLUMNS (sizeof columns / sizeof *columns)
static const char *const rows[] = {"hit",
                                   "dependent hit",
                                   "miss",
                                   "hit, many a call",
                                   "insert, from empty",
                                   "remove, to empty",
                                   "hit before churn",
                                   "hit beside churn",
                                   "hit before resizes",
                                   "hit beside resizes",
                                   "walk over the keys"};

static void print_cell(FILE *out, const struct bench_figure *figure)
{
    char text[64] = "";
    if (figure) {
        struct bench_spread spread = bench_spread(figure->samples, figure->count);
        snprintf(text, sizeof text, "%.1f (%.1f..%.1f)", spread.median, spread.least, spread.most);
    }
    fprintf(out, " %23s", text);
}

/* Rates and sizes that belong to a figure, as a sentence. */
static double median_of(const char *what, const char *who, size_t size)
{
    const struct bench_figure *figure = bench_find(what, who, size);
    return figure ? bench_spread(figure->samples, figure->count).median : 0;
}

static void print_size(FILE *out, size_t size)
{
    fprintf(out, "\n%zu entries; the table has %.0f KiB\n%-20s", size,
            median_of("table, bytes", columns[0], size) / 1024, "  ns");
    for (size_t column = 0; column < COLUMNS; column++)
        fprintf(out, " %23s", columns[column]);
    fputc('\n', out);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        fprintf(out, "  %-18s", rows[row]);
        for (size_t column = 0; column < COLUMNS; column++)
            print_cell(out, bench_find(rows[row], columns[column], size));
        fputc('\n', out);
    }
    if (bench_find("hit beside churn", columns[0], size))
        fprintf(out,
                "  the partner churned %.1f million keys a second, and resized %.1f times a second there and back\n",
                median_of("churn, keys a second", columns[0], size) / 1e6,
                median_of("resizes, there and back, a second", columns[0], size));
}

static void print_memory(FILE *out)
{
    size_t count;
    const struct bench_points *points = bench_memory_points(&count);
    if (count)
        fprintf(out, "\nresident bytes an entry %48s %23s\n", columns[0], columns[1]);
    for (size_t i = 0; i < count; i++) {
        for (int before = 0; before < 2; before++) {
            const char *what = before ? "memory just before a grow" : "memory right after a grow";
            fprintf(out, "  around %8zu: %s, at %8zu", points[i].size, what + strlen("memory "),
                    before ? points[i].before : points[i].after);
            for (int column = 0; column < 2; column++)
                print_cell(out, bench_find(what, columns[column], points[i].size));
            fputc('\n', out);
        }
    }
}

static int print_ratio(FILE *out, const struct bench_ratio *ratio)
{
    fprintf(out, "  %-44s %8zu ", ratio->label, ratio->size);
    if (!ratio->measured) {
        fprintf(out, "not measured: %s\n", ratio->why_not);
        return 0;
    }
    fprintf(out, "%7.3f (%.3f..%.3f)", ratio->value.median, ratio->value.least, ratio->value.most);
    if (ratio->bound)
        fprintf(out, "  at most %g: %s", ratio->bound, ratio->ok ? "ok" : "MISSED");
    fputc('\n', out);
    return ratio->bound && !ratio->ok;
}

int bench_report(const struct bench_config *config, FILE *out)
{
    struct bench_ratio ratios[RATIOS_MAX];
    int missed = 0;
    for (unsigned i = 0; i < config->size_count; i++)
        print_size(out, config->sizes[i]);
    print_memory(out);
    if (!bench_lfht)
        fputs("\nliburcu is not installed: without it there is no cds_lfht to compare with (Debian: apt-get install "
              "liburcu-dev)\n",
              out);
    fputs("\nratios, round by round: median (least..most)\n", out);
    size_t count = bench_ratios(config, ratios, RATIOS_MAX);
    for (size_t i = 0; i < count; i++)
        missed += print_ratio(out, &ratios[i]);
    fprintf(out, "%d bound%s missed\n", missed, missed == 1 ? "" : "s");
    return missed;
}
