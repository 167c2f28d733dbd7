/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* BPF iterators: loaded, attached, opened. */
#define _GNU_SOURCE
#include "iterators.h"

#include "areas.h"
#include "libbpf.h"
#include "syscall.h"
#include "why.h"

#include <errno.h>
#include <stdlib.h>

static const char *const bid_iterator_names[BID_ITERATORS] = {"tasks", "descriptors", "areas"};
static const char *const bid_iterator_kinds[BID_ITERATORS] = {"task", "task_file", "task_vma"}; /* the kernel's names */

struct bid_iterators {
    const struct bid_libbpf *libbpf;
    struct bpf_object *object;
    struct bpf_link *links[BID_ITERATORS];
};

/* What the kernel must have, before anything is loaded: for the error of a load says little. */
static int bid_iterators_probe(const struct bid_libbpf *libbpf, struct bid_why *why)
{
    if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        return bid_why(why, ENOTSUP,
                       "this kernel has no type information (/sys/kernel/btf/vmlinux): one that is built with "
                       "CONFIG_DEBUG_INFO_BTF is needed");
    for (unsigned i = 0; i < BID_ITERATORS; i++)
        if (libbpf->libbpf_find_vmlinux_btf_id(bid_iterator_kinds[i], BPF_TRACE_ITER) < 0)
            return bid_why(why, ENOTSUP, "this kernel has no BPF iterator %s: Linux 5.12 or later is needed",
                           bid_iterator_kinds[i]);
    if (!bid_areas_are_safe(libbpf))
        return bid_why(why, ENOTSUP, BID_AREAS_UNSAFE ": Linux 6.2, or an older one with that repaired, is needed");
    return 0;
}

static int bid_iterators_load(struct bid_iterators *iterators, const void *object, size_t size, struct bid_why *why)
{
    const struct bid_libbpf *libbpf = iterators->libbpf;
    iterators->object = libbpf->bpf_object__open_mem(object, size, NULL);
    if (!iterators->object)
        return bid_why(why, EINVAL, "the BPF programs of this installation are damaged: install pybuildid again");
    int status = libbpf->bpf_object__load(iterators->object);
    if (status == -EPERM || status == -EACCES)
        return bid_why(why, -status,
                       "the kernel does not let this user load BPF programs: run as root (CAP_BPF and CAP_PERFMON)");
    if (status)
        return bid_why(why, -status, "the kernel refuses the BPF programs (%s): a newer kernel may take them",
                       strerror(-status));
    for (unsigned i = 0; i < BID_ITERATORS; i++) {
        struct bpf_program *program =
            libbpf->bpf_object__find_program_by_name(iterators->object, bid_iterator_names[i]);
        iterators->links[i] = libbpf->bpf_program__attach_iter(program, NULL);
        if (!iterators->links[i])
            return bid_why(why, errno, "the BPF iterator %s cannot be attached (%s): a newer kernel may take it",
                           bid_iterator_kinds[i], strerror(errno));
    }
    return 0;
}

struct bid_iterators *bid_iterators_create(const void *object, size_t size, char *why, size_t why_size)
{
    struct bid_why reason = {why, why_size};
    const char *missing;
    struct bid_iterators *iterators = calloc(1, sizeof *iterators);
    if (!iterators) {
        bid_why(&reason, ENOMEM, "out of memory: free some");
        return NULL;
    }
    iterators->libbpf = bid_libbpf_load(&missing);
    if (!iterators->libbpf)
        bid_why(&reason, ENOENT, "%s", missing);
    else if (bid_iterators_probe(iterators->libbpf, &reason) == 0 &&
             bid_iterators_load(iterators, object, size, &reason) == 0)
        return iterators;
    int error = errno;
    bid_iterators_destroy(iterators);
    errno = error;
    return NULL;
}

int bid_iterators_open(const struct bid_iterators *iterators, enum bid_iterator which)
{
    union bpf_attr attribute = bid_attribute();
    attribute.iter_create.link_fd = (uint32_t)iterators->libbpf->bpf_link__fd(iterators->links[which]);
    return bid_bpf(BPF_ITER_CREATE, &attribute);
}

void bid_iterators_destroy(struct bid_iterators *iterators)
{
    if (!iterators)
        return;
    for (unsigned i = 0; i < BID_ITERATORS; i++)
        if (iterators->links[i])
            iterators->libbpf->bpf_link__destroy(iterators->links[i]);
    if (iterators->object)
        iterators->libbpf->bpf_object__close(iterators->object);
    free(iterators);
}
