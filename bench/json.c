/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The figures and ratios, for programs. Strings are constants of this program without anything to escape. */
#include "bench.h"

#define RATIOS_MAX 128

static void json_figures(FILE *out)
{
    size_t count;
    const struct bench_figure *figures = bench_figures(&count);
    for (size_t i = 0; i < count; i++) {
        struct bench_spread spread = bench_spread(figures[i].samples, figures[i].count);
        fprintf(out, "%s    {\"what\": \"%s\", \"who\": \"%s\", \"size\": %zu, ", i ? ",\n" : "", figures[i].what,
                figures[i].who, figures[i].size);
        fprintf(out, "\"median\": %.3f, \"min\": %.3f, \"max\": %.3f, \"samples\": [", spread.median, spread.least,
                spread.most);
        for (unsigned sample = 0; sample < figures[i].count; sample++)
            fprintf(out, "%s%.3f", sample ? ", " : "", figures[i].samples[sample]);
        fputs("]}", out);
    }
}

static void json_ratios(const struct bench_config *config, FILE *out)
{
    struct bench_ratio ratios[RATIOS_MAX];
    size_t count = bench_ratios(config, ratios, RATIOS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct bench_ratio *ratio = &ratios[i];
        fprintf(out, "%s    {\"label\": \"%s\", \"size\": %zu, ", i ? ",\n" : "", ratio->label, ratio->size);
        if (ratio->measured)
            fprintf(out, "\"median\": %.4f, \"min\": %.4f, \"max\": %.4f, ", ratio->value.median, ratio->value.least,
                    ratio->value.most);
        else
            fprintf(out, "\"median\": null, \"not_measured\": \"%s\", ", ratio->why_not);
        if (ratio->bound)
            fprintf(out, "\"bound\": %g, \"ok\": %s}", ratio->bound,
                    !ratio->measured ? "null"
                    : ratio->ok      ? "true"
                                     : "false");
        else
            fputs("\"bound\": null, \"ok\": null}", out);
    }
}

static void json_memory(FILE *out)
{
    size_t count;
    const struct bench_points *points = bench_memory_points(&count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s    {\"size\": %zu, \"right_after_a_grow\": %zu, \"just_before_a_grow\": %zu}", i ? ",\n" : "",
                points[i].size, points[i].after, points[i].before);
}

void bench_json(const struct bench_config *config, FILE *out)
{
    fprintf(out, "{\n  \"seed\": %llu, \"rounds\": %u, \"batch_ms\": %.3f, \"cpus\": [%d, %d], \"cds_lfht\": %s,\n",
            (unsigned long long)config->seed, config->rounds, (double)config->batch_ns / 1e6, config->cpus[0],
            config->cpus[1], bench_lfht ? "true" : "false");
    fputs("  \"figures\": [\n", out);
    json_figures(out);
    fputs("\n  ],\n  \"memory_points\": [\n", out);
    json_memory(out);
    fputs("\n  ],\n  \"ratios\": [\n", out);
    json_ratios(config, out);
    fputs("\n  ]\n}\n", out);
}
