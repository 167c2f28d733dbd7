/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hooks OBJECT LIBRARY: what mapping takes, as often as it is asked on standard input. A line with
 *
 *   attach     attaches the empty program of OBJECT
 *   detach     detaches it
 *   measure    measures
 *
 * and each is answered by a line: of "measure" nanoseconds of mmap() and munmap() of a page of memory; of the same
 * where the page is written in between; of a page of LIBRARY's code.
 */
#define _GNU_SOURCE
#include "libbpf.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define PAGE 4096
#define TURNS 41
#define PAIRS 200 /* in a turn */

enum what { MEMORY, WRITTEN, CODE };

static int library;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void pair(enum what what)
{
    char *page = what == CODE ? mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, library, 0)
                              : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        die("mmap");
    if (what == WRITTEN)
        *page = 1;
    munmap(page, PAGE);
}

static int compare(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Time of this thread alone; the median of turns, for other programs disturb some. */
static double measure(enum what what)
{
    double turns[TURNS];
    for (int i = 0; i < TURNS; i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        for (int j = 0; j < PAIRS; j++)
            pair(what);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        turns[i] = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    }
    qsort(turns, TURNS, sizeof *turns, compare);
    return turns[TURNS / 2] / PAIRS;
}

static struct bpf_program *load(const struct bid_libbpf *libbpf, const char *path)
{
    static char bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    struct bpf_object *object = size ? libbpf->bpf_object__open_mem(bytes, size, NULL) : NULL;
    if (!object || libbpf->bpf_object__load(object))
        die("load");
    return libbpf->bpf_object__find_program_by_name(object, "nothing");
}

int main(int count, char **arguments)
{
    const char *why = "usage: hooks OBJECT LIBRARY";
    const struct bid_libbpf *libbpf = bid_libbpf_load(&why);
    char line[16];
    if (count != 3 || !libbpf)
        return fprintf(stderr, "%s\n", why), 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    library = open(arguments[2], O_RDONLY | O_CLOEXEC);
    struct bpf_program *program = load(libbpf, arguments[1]);
    struct bpf_link *link = NULL;
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "attach\n") == 0 && !(link = libbpf->bpf_program__attach(program)))
            die("attach");
        else if (strcmp(line, "detach\n") == 0)
            libbpf->bpf_link__destroy(link);
        if (strcmp(line, "measure\n") == 0)
            printf("%.1f %.1f %.1f\n", measure(MEMORY), measure(WRITTEN), measure(CODE));
        else
            puts("");
        fflush(stdout);
    }
    return 0;
}
