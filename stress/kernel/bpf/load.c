/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Loads and attaches the program, brings NMIs about while this very file is what the processor executes, and says what
 * the program saw. That this file was mapped for execution has associated it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

static void say(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
}

static int print(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return level == LIBBPF_DEBUG ? 0 : vprintf(format, arguments);
}

static void count(struct bpf_object *object)
{
    struct seen seen = {0};
    int zero = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(bpf_object__next_map(object, NULL)), &zero, &seen))
        perror("bpf_map_lookup_elem");
    printf("bid_kfunc: calls=%llu found=%llu absent=%llu other=%llu\nbid_kfunc: last ", seen.calls, seen.found,
           seen.absent, seen.other);
    for (int i = 0; i < 20; i++)
        printf("%02x", seen.last[i]);
    printf("\n");
}

int main(void)
{
    struct bpf_object *object = bpf_object__open_file("/program.bpf.o", NULL);
    struct bpf_object *perf = bpf_object__open_file("/perf.bpf.o", NULL);
    libbpf_set_print(print);
    if (!object || bpf_object__load(object) || !bpf_program__attach(bpf_object__next_program(object, NULL)))
        return printf("bid_kfunc: not loaded\n"), 1;
    usleep(100000); /* a worker reads the build ID */
    say("/proc/bid_kfunc", "1000\n");
    count(object);
    printf("bid_kfunc: perf_event=%d\n", perf && bpf_object__load(perf) == 0);
    return 0;
}
