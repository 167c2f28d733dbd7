/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The program: `recorder record SEED FIRST N` runs and checks histories number FIRST to FIRST + N - 1 of a seed;
 * `recorder check` reads histories, each ended by a line without an operation, and says what each is. run.py reads
 * what it prints. It is a program of its own so that a table that crashes or hangs takes nothing else with it.
 */
#include "recorder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 5            /* flawed histories that are printed */
#define HANGS_SECONDS 60   /* for one history: then SIGALRM ends the program */
#define READ_OPS_MAX 10000 /* of a history that is read */

struct result {
    uint64_t legal, illegal, undecided;
    struct recorder_tally tally;
};

static void print_flawed(uint64_t number, enum history_verdict verdict, const struct history_flaw *flaw,
                         const struct history_op *ops, unsigned n)
{
    printf("%s %" PRIu64 " %" PRIu32 " %" PRIu32 "\n", verdict == HISTORY_ILLEGAL ? "illegal" : "undecided", number,
           flaw->key, flaw->explained);
    for (unsigned i = 0; i < n; i++)
        if (ops[i].key == flaw->key)
            history_print(stdout, &ops[i]);
    fflush(stdout);
}

static void record_one(uint64_t seed, uint64_t number, struct result *result)
{
    static struct plan plan;
    static struct history_op ops[RECORDER_OPS];
    struct history_flaw flaw;
    alarm(HANGS_SECONDS);
    plan_make(&plan, seed, number);
    unsigned n = recorder_run(&plan, ops, &result->tally);
    enum history_verdict verdict = history_check(ops, n, &flaw);
    result->legal += verdict == HISTORY_LEGAL;
    result->illegal += verdict == HISTORY_ILLEGAL;
    result->undecided += verdict != HISTORY_LEGAL && verdict != HISTORY_ILLEGAL;
    if (verdict != HISTORY_LEGAL && result->illegal + result->undecided <= SHOWN)
        print_flawed(number, verdict, &flaw, ops, n);
}

static void print_result(const struct result *result)
{
    const struct recorder_tally *tally = &result->tally;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"legal", result->legal},
        {"illegal", result->illegal},
        {"undecided", result->undecided},
        {"operations", tally->operations},
        {"refused", tally->refused},
        {"from_handlers", tally->from_handlers},
        {"interrupting", tally->interrupting},
        {"in_resize", tally->in_resize},
        {"traps", tally->traps},
        {"stood", tally->stood},
        {"overlapping", tally->overlapping},
        {"with_overlap", tally->with_overlap},
        {"across_a_resize", tally->across_a_resize},
        {"resizes", tally->resizes},
        {"wrong_counts", tally->wrong_counts},
        {"errors", tally->errors},
    };
    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++)
        printf("figure %s %" PRIu64 "\n", figures[i].name, figures[i].value);
    for (unsigned kind = 0; kind < HISTORY_KINDS; kind++)
        printf("kind %u %" PRIu64 "\n", kind, tally->kinds[kind]);
    printf("figure first_error %" PRId64 "\n", tally->first_error);
}

static int record_all(uint64_t seed, uint64_t first, uint64_t n)
{
    static struct result result;
    int error = recorder_start();
    if (error) {
        fprintf(stderr, "no threads: %s\n", strerror(error));
        return 1;
    }
    for (uint64_t i = first; i < first + n; i++)
        record_one(seed, i, &result);
    print_result(&result);
    return 0;
}

static void print_verdict(const struct history_op *ops, unsigned n)
{
    struct history_flaw flaw = {0};
    switch (history_check(ops, n, &flaw)) {
    case HISTORY_LEGAL:
        puts("legal");
        break;
    case HISTORY_ILLEGAL:
        printf("illegal %" PRIu32 " %" PRIu32 "\n", flaw.key, flaw.explained);
        break;
    default:
        printf("undecided %" PRIu32 "\n", flaw.key);
    }
    fflush(stdout);
}

static int check_all(void)
{
    static struct history_op ops[READ_OPS_MAX];
    char line[256];
    unsigned n = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (n < READ_OPS_MAX && history_parse(line, &ops[n])) {
            n++;
            continue;
        }
        if (line[0] != '\n') {
            fprintf(stderr, "not an operation, or too many: %s", line);
            return 2;
        }
        print_verdict(ops, n);
        n = 0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "record") == 0)
        return record_all(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return check_all();
    fprintf(stderr, "usage: recorder record SEED FIRST N | recorder check\n");
    return 2;
}
