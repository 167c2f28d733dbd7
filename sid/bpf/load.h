/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the test programs of this folder share: an object over a region, and runs of its programs. */
#ifndef BID_LOAD_H
#define BID_LOAD_H

#include "bid/bpf.h"
#include "libbpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const struct bid_libbpf *libbpf;

static int print(int level, const char *format, va_list arguments)
{
    return level > 1 ? 0 : vfprintf(stderr, format, arguments);
}

/* Loads an object file whose map bid_region is this one. Ends the program with 77 where BPF may not be used. */
static struct bpf_object *load(const char *path, int region)
{
    const char *why;
    libbpf = bid_libbpf_load(&why);
    if (!libbpf) {
        puts(why);
        exit(77);
    }
    FILE *file = fopen(path, "rb");
    static char bytes[1 << 20];
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    CHECK(size);
    fclose(file);
    libbpf->libbpf_set_print(print);
    struct bpf_object *object = libbpf->bpf_object__open_mem(bytes, size, NULL);
    CHECK(object);
    CHECK(!libbpf->bpf_map__reuse_fd(libbpf->bpf_object__find_map_by_name(object, "bid_region"), region));
    CHECK(!libbpf->bpf_object__load(object));
    return object;
}

__attribute__((unused)) static struct bid_bpf_region *region_or_skip(uint64_t bytes)
{
    struct bid_bpf_region *region;
    int status = bid_bpf_region_create(&region, bytes);
    if (status == BID_E_UNSUPPORTED) {
        printf("no BPF map may be made here (%s)\n", strerror(errno));
        exit(77);
    }
    CHECK(status == BID_OK);
    return region;
}

static int program_fd(struct bpf_object *object, const char *name)
{
    return libbpf->bpf_program__fd(libbpf->bpf_object__find_program_by_name(object, name));
}

static int map_fd(struct bpf_object *object, const char *name)
{
    return libbpf->bpf_map__fd(libbpf->bpf_object__find_map_by_name(object, name));
}

static int run(int fd)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.test.prog_fd = (uint32_t)fd;
    return (int)syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attribute, sizeof attribute);
}

#endif
