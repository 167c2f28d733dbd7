/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Options, and the order in which things are measured. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_FROM 10000 /* entries; below, what a process pays once is most of it */

const struct bench_contender *bench_contenders[BENCH_CONTENDERS + 1];

static const char usage[] =
    "Usage: bench [options]\n"
    "Times the table's operations beside loads from memory and, if liburcu is installed, its cds_lfht.\n"
    "\n"
    "  --sizes N,N,...     entries [1000,57000,1000000]\n"
    "  --rounds N          samples of each figure, 1 to 99 [5]\n"
    "  --batch-ms MS       shortest time of one sample [10]\n"
    "  --seed N            for keys, orders and the table [1]\n"
    "  --json FILE         write all figures and ratios there, too\n"
    "  --strict            exit with status 1 if a bound is missed\n"
    "  --serve FILE        for lookup_many.py: see serve.c; with --entries N\n"
    "  --help\n"
    "\n"
    "Exit status: 0; 1 with --strict if a bound is missed; 2 after a wrong answer or a wrong option.\n";

struct arguments {
    struct bench_config config;
    const char *json, *serve;
    size_t entries;
    int strict;
};

static double parse_number(const char *text, double least, double most, const char *option)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= least && value <= most))
        bench_die("--%s %s: expected a number from %g to %g", option, text, least, most);
    return value;
}

static void parse_sizes(struct bench_config *config, char *text)
{
    char *rest = text, *size;
    config->size_count = 0;
    while ((size = strsep(&rest, ",")) != NULL) {
        if (config->size_count == BENCH_SIZES_MAX)
            bench_die("--sizes: at most %d", BENCH_SIZES_MAX);
        config->sizes[config->size_count++] = (size_t)parse_number(size, 100, 2e6, "sizes");
    }
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"sizes", required_argument, NULL, 's'},    {"rounds", required_argument, NULL, 'r'},
        {"batch-ms", required_argument, NULL, 'b'}, {"seed", required_argument, NULL, 'S'},
        {"json", required_argument, NULL, 'j'},     {"strict", no_argument, NULL, 'x'},
        {"serve", required_argument, NULL, 'v'},    {"entries", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    struct bench_config *config = &arguments->config;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            parse_sizes(config, optarg);
        else if (option == 'r')
            config->rounds = (unsigned)parse_number(optarg, 1, BENCH_ROUNDS_MAX, "rounds");
        else if (option == 'b')
            config->batch_ns = (uint64_t)(parse_number(optarg, 0.01, 10000, "batch-ms") * 1e6);
        else if (option == 'S')
            config->seed = (uint64_t)parse_number(optarg, 0, 1e15, "seed");
        else if (option == 'j')
            arguments->json = optarg;
        else if (option == 'x')
            arguments->strict = 1;
        else if (option == 'v')
            arguments->serve = optarg;
        else if (option == 'e')
            arguments->entries = (size_t)parse_number(optarg, 1, 1e8, "entries");
        else {
            fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    if (optind < argc)
        bench_die("unexpected argument: %s", argv[optind]);
}

static void introduce(const struct bench_config *config)
{
    char pages[128] = "unknown";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file) {
        if (!fgets(pages, sizeof pages, file))
            strcpy(pages, "unknown");
        pages[strcspn(pages, "\n")] = '\0';
        fclose(file);
    }
    printf(
        "measured on processor %d, partner and background threads on %d; %u rounds of %.0f ms; seed %llu; huge pages: "
        "%s\nmedian (least..most); each sample begins with untimed lookups; the walk over the keys is in every "
        "figure but the dependent ones\n",
        config->cpus[0], config->cpus[1], config->rounds, (double)config->batch_ns / 1e6,
        (unsigned long long)config->seed, pages);
    fflush(stdout);
}

/* Memory first, while this process has no table and one thread. */
static void measure(const struct bench_config *config)
{
    for (unsigned i = 0; i < config->size_count; i++)
        if (config->sizes[i] >= MEMORY_FROM)
            bench_memory(config, config->sizes[i]);
    for (unsigned i = 0; bench_contenders[i]; i++)
        bench_contenders[i]->thread_begin();
    for (unsigned i = 0; i < config->size_count; i++) {
        fprintf(stderr, "measuring %zu entries ...\n", config->sizes[i]);
        struct bench_keys *keys = bench_keys_make(config->sizes[i], config->seed);
        bench_quiet(config, keys);
        bench_updates(config, keys);
        bench_company(config, keys);
        bench_keys_free(keys);
    }
}

static void write_json(const struct arguments *arguments)
{
    FILE *file = fopen(arguments->json, "w");
    if (!file)
        bench_die("%s: %s", arguments->json, strerror(errno));
    bench_json(&arguments->config, file);
    if (fclose(file) != 0)
        bench_die("%s: %s", arguments->json, strerror(errno));
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .config = {
            .sizes = {1000, 57000, 1000000}, .size_count = 3, .rounds = 5, .batch_ns = 10 * 1000 * 1000, .seed = 1}};
    struct bench_config *config = &arguments.config;
    parse(&arguments, argc, argv);
    bench_find_cpus(config->cpus);
    bench_helper_cpu = config->cpus[1];
    if (arguments.serve)
        return bench_serve(config, arguments.serve, arguments.entries);
    bench_contenders[0] = &bench_pybuildid;
    bench_contenders[1] = bench_lfht;
    bench_pin_to(config->cpus[0]);
    introduce(config);
    measure(config);
    printf("left out as interrupted: %.2f%% of the time of lookups and loads\n", 100 * bench_left_out());
    int missed = bench_report(config, stdout);
    if (arguments.json)
        write_json(&arguments);
    return arguments.strict && missed ? 1 : 0;
}
