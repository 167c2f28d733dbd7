/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* watch OBJECT TID: prints the address that watch.bpf.c finds for a thread. */
#include "libbpf.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    static char bytes[1 << 16];
    const char *why = "usage: watch OBJECT TID";
    const struct bid_libbpf *libbpf = bid_libbpf_load(&why);
    FILE *file = count == 3 ? fopen(arguments[1], "rb") : NULL;
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (!libbpf || !size)
        return fprintf(stderr, "%s\n", why), 1;
    struct bpf_object *object = libbpf->bpf_object__open_mem(bytes, size, NULL);
    if (!object || libbpf->bpf_object__load(object))
        return perror("load"), 1;
    struct bpf_program *program = libbpf->bpf_object__find_program_by_name(object, "watch");
    struct bpf_link *link = libbpf->bpf_program__attach_iter(program, NULL);
    if (!link)
        return perror("attach"), 1;
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.iter_create.link_fd = (unsigned)libbpf->bpf_link__fd(link);
    int iterator = (int)syscall(SYS_bpf, BPF_ITER_CREATE, &attribute, sizeof attribute);
    unsigned long found[2];
    while (read(iterator, found, sizeof found) == sizeof found)
        if (found[0] == strtoul(arguments[2], NULL, 10))
            return printf("%lu\n", found[1]), 0;
    return fprintf(stderr, "there is no thread %s\n", arguments[2]), 1;
}
