/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The BPF programs of the recorder: loaded, attached, run. */
#define _GNU_SOURCE
#include "recording.h"

#include "areas.h"
#include "syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* BTF tracepoints by name: those that a kernel must have, and those that it may have. */
static const char *const bid_needed[] = {"ma_write", "exit_mmap", "task_newtask", "sched_process_exit"};
static const struct {
    const char *name, *module; /* that it is in, unless the file system is built in */
} bid_evictions[] = {{"ext4_evict_inode", "ext4"},
                     {"xfs_destroy_inode", "xfs"},
                     {"btrfs_inode_evict", "btrfs"},
                     {"f2fs_evict_inode", "f2fs"},
                     {"hugetlbfs_evict_inode", "hugetlbfs"}};
static const char *const bid_hooks[] = {"on_exit_mmap", "on_newtask", "on_exit"};

#define BID_FIRST_PID_NAMESPACE 0xeffffffcu /* PROC_PID_INIT_INO of Linux */
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int bid_map_command(int command, int fd, const void *key, const void *value)
{
    union bpf_attr attribute = bid_attribute();
    attribute.map_fd = (uint32_t)fd;
    attribute.key = (uint64_t)(uintptr_t)key;
    attribute.value = (uint64_t)(uintptr_t)value;
    return bid_bpf(command, &attribute);
}

int bid_map_update(int fd, const void *key, const void *value)
{
    return bid_map_command(BPF_MAP_UPDATE_ELEM, fd, key, value);
}

/* ------------------------------------------------------------------------------------------- loading -- */

/* What the kernel must have, before anything is loaded: for the error of a load says little. */
static int bid_programs_probe(const struct bid_libbpf *libbpf, struct bid_why *why)
{
    struct stat namespace;
    if (stat("/proc/self/ns/pid", &namespace) == 0 && namespace.st_ino != BID_FIRST_PID_NAMESPACE)
        return bid_why(why, ENOTSUP,
                       "this is a PID namespace, as of a container, which the kernel's numbers of processes "
                       "do not fit: run it outside");
    if (sysconf(_SC_PAGESIZE) != 1 << BID_PAGE_SHIFT)
        return bid_why(why, ENOTSUP, "the BPF programs are made for pages of 4 KiB, and this kernel has others");
    if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        return bid_why(why, ENOTSUP,
                       "this kernel has no type information (/sys/kernel/btf/vmlinux): one that is built "
                       "with CONFIG_DEBUG_INFO_BTF is needed");
    for (unsigned i = 0; i < COUNT(bid_needed); i++)
        if (libbpf->libbpf_find_vmlinux_btf_id(bid_needed[i], BPF_TRACE_RAW_TP) < 0)
            return bid_why(why, ENOTSUP, "this kernel has no tracepoint %s: Linux 6.1 or later is needed",
                           bid_needed[i]);
    return 0;
}

/* The program at mappings: the quicker one, where the kernel has what it needs. */
static const char *bid_programs_write(const struct bid_libbpf *libbpf)
{
    return libbpf->libbpf_find_vmlinux_btf_id("bpf_rdonly_cast", BPF_TRACE_FENTRY) > 0 ? "on_write"
                                                                                       : "on_write_by_copy";
}

/* Whether the kernel, or a module that it has loaded, has this tracepoint. A file system whose module is loaded later
 * has none: there the tags tell files apart. */
static int bid_programs_evicts(const struct bid_libbpf *libbpf, unsigned i)
{
    char types[64];
    snprintf(types, sizeof types, "/sys/kernel/btf/%s", bid_evictions[i].module);
    return libbpf->libbpf_find_vmlinux_btf_id(bid_evictions[i].name, BPF_TRACE_RAW_TP) > 0 || access(types, F_OK) == 0;
}

/* The iterator is not even loaded where it may crash the kernel: processes that were there before have no spaces then,
 * and their frames take the kernel's own answers. */
static void bid_programs_choose(struct bid_programs *programs)
{
    static const char *const writes[] = {"on_write", "on_write_by_copy"};
    const struct bid_libbpf *libbpf = programs->libbpf;
    char name[64];
    for (unsigned i = 0; i < COUNT(writes); i++)
        libbpf->bpf_program__set_autoload(libbpf->bpf_object__find_program_by_name(programs->object, writes[i]),
                                          strcmp(writes[i], bid_programs_write(libbpf)) == 0);
    for (unsigned i = 0; i < COUNT(bid_evictions); i++) {
        snprintf(name, sizeof name, "on_%s", bid_evictions[i].name);
        libbpf->bpf_program__set_autoload(libbpf->bpf_object__find_program_by_name(programs->object, name),
                                          bid_programs_evicts(libbpf, i));
    }
    programs->areas = bid_areas_are_safe(libbpf);
    libbpf->bpf_program__set_autoload(libbpf->bpf_object__find_program_by_name(programs->object, "scan"),
                                      programs->areas);
}

static int bid_programs_refused(struct bid_why *why, int error)
{
    if (error == EPERM || error == EACCES)
        return bid_why(why, error,
                       "the kernel does not let this user load BPF programs: run as root, or with the capabilities "
                       "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE");
    return bid_why(why, error, "the kernel refuses the BPF programs (%s)", strerror(error));
}

static int bid_programs_map(const struct bid_programs *programs, const char *name)
{
    return programs->libbpf->bpf_map__fd(programs->libbpf->bpf_object__find_map_by_name(programs->object, name));
}

static int bid_programs_fd(const struct bid_programs *programs, const char *name)
{
    const struct bid_libbpf *libbpf = programs->libbpf;
    return libbpf->bpf_program__fd(libbpf->bpf_object__find_program_by_name(programs->object, name));
}

static int bid_programs_load(struct bid_programs *programs, const void *object, size_t size,
                             const struct bid_record_settings *wanted, int region_fd, struct bid_why *why)
{
    const struct bid_libbpf *libbpf = programs->libbpf;
    programs->object = libbpf->bpf_object__open_mem(object, size, NULL);
    if (!programs->object)
        return bid_why(why, EINVAL, "the BPF programs of this installation are damaged: install pybuildid again");
    bid_programs_choose(programs);
    struct bid_record_settings *settings =
        libbpf->bpf_map__initial_value(libbpf->bpf_object__find_map_by_name(programs->object, ".rodata"), &size);
    if (!settings || size < sizeof *settings)
        return bid_why(why, EINVAL, "the BPF programs of this installation are of another version: install it again");
    *settings = *wanted;
    libbpf->bpf_map__reuse_fd(libbpf->bpf_object__find_map_by_name(programs->object, "bid_region"), region_fd);
    int status = libbpf->bpf_object__load(programs->object);
    if (status)
        return bid_programs_refused(why, -status);
    programs->counts = bid_programs_map(programs, "counts");
    programs->targets = bid_programs_map(programs, "targets");
    programs->spaces = bid_programs_map(programs, "bid_spaces");
    programs->sample = bid_programs_fd(programs, "take_sample");
    programs->scan = bid_programs_fd(programs, "scan");
    programs->write = bid_programs_fd(programs, bid_programs_write(libbpf));
    return 0;
}

static int bid_programs_attach(struct bid_programs *programs, const char *name, struct bid_why *why)
{
    const struct bid_libbpf *libbpf = programs->libbpf;
    struct bpf_program *program = libbpf->bpf_object__find_program_by_name(programs->object, name);
    struct bpf_link *link = libbpf->bpf_program__attach(program);
    if (!link)
        return bid_why(why, errno, "the BPF program %s cannot be attached (%s)", name, strerror(errno));
    programs->links[programs->link_count++] = link;
    return 0;
}

/* Whether the hook at mappings is where it is taken to be: code that this process maps must come by. */
static int bid_programs_prove(const struct bid_programs *programs, struct bid_why *why)
{
    uint64_t before[BID_COUNTS], after[BID_COUNTS];
    bid_programs_counts(programs, before);
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *probe = self < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, self, 0);
    if (probe == MAP_FAILED)
        return bid_why(why, errno, "this process's own program cannot be mapped (%s)", strerror(errno));
    munmap(probe, 4096);
    close(self);
    bid_programs_counts(programs, after);
    if (after[BID_COUNT_OWN_STORES] == before[BID_COUNT_OWN_STORES])
        return bid_why(why, ENOTSUP,
                       "this kernel's tracepoint ma_write does not tell of mappings: it was made for Linux "
                       "6.1 to 6.18");
    return 0;
}

int bid_programs_open(struct bid_programs *programs, const void *object, size_t size,
                      const struct bid_record_settings *settings, int region_fd, struct bid_why *why)
{
    const char *missing;
    char name[64];
    *programs = (struct bid_programs){.libbpf = bid_libbpf_load(&missing)};
    if (!programs->libbpf)
        return bid_why(why, ENOENT, "%s", missing);
    programs->possible_cpus = (unsigned)programs->libbpf->libbpf_num_possible_cpus();
    if (bid_programs_probe(programs->libbpf, why) ||
        bid_programs_load(programs, object, size, settings, region_fd, why))
        return -1;
    if (bid_programs_attach(programs, bid_programs_write(programs->libbpf), why))
        return -1;
    for (unsigned i = 0; i < COUNT(bid_hooks); i++)
        if (bid_programs_attach(programs, bid_hooks[i], why))
            return -1;
    for (unsigned i = 0; i < COUNT(bid_evictions); i++) {
        snprintf(name, sizeof name, "on_%s", bid_evictions[i].name);
        if (bid_programs_fd(programs, name) >= 0)
            bid_programs_attach(programs, name, NULL); /* without it tags still tell files apart */
    }
    return bid_programs_prove(programs, why);
}

void bid_programs_close(struct bid_programs *programs)
{
    while (programs->link_count)
        programs->libbpf->bpf_link__destroy(programs->links[--programs->link_count]);
    if (programs->object)
        programs->libbpf->bpf_object__close(programs->object);
    programs->object = NULL;
}

/* ------------------------------------------------------------------------------------------- running -- */

/* The iterator writes nothing: its program does all, and one read() runs it through. */
int bid_programs_scan(const struct bid_programs *programs, uint32_t tgid)
{
    union bpf_iter_link_info which;
    union bpf_attr attribute = bid_attribute();
    char nothing[64];
    if (!programs->areas)
        return 0;
    memset(&which, 0, sizeof which);
    which.task.tid = tgid;
    attribute.link_create.prog_fd = (uint32_t)programs->scan;
    attribute.link_create.attach_type = BPF_TRACE_ITER;
    attribute.link_create.iter_info = tgid ? (uint64_t)(uintptr_t)&which : 0;
    attribute.link_create.iter_info_len = tgid ? sizeof which : 0;
    int link = bid_bpf(BPF_LINK_CREATE, &attribute);
    if (link < 0)
        return -1; /* ESRCH: it has ended */
    attribute = bid_attribute();
    attribute.iter_create.link_fd = (uint32_t)link;
    int iterator = bid_bpf(BPF_ITER_CREATE, &attribute), status = -1;
    if (iterator >= 0) {
        while ((status = (int)read(iterator, nothing, sizeof nothing)) > 0 || (status < 0 && errno == EAGAIN))
            ;
        close(iterator);
    }
    close(link);
    return status;
}

uint64_t bid_programs_missed(const struct bid_programs *programs)
{
    struct bpf_prog_info info;
    union bpf_attr attribute = bid_attribute();
    memset(&info, 0, sizeof info);
    attribute.info.bpf_fd = (uint32_t)programs->write;
    attribute.info.info_len = sizeof info;
    attribute.info.info = (uint64_t)(uintptr_t)&info;
    return bid_bpf(BPF_OBJ_GET_INFO_BY_FD, &attribute) ? 0 : info.recursion_misses;
}

void bid_programs_counts(const struct bid_programs *programs, uint64_t counts[BID_COUNTS])
{
    uint64_t *each = calloc(programs->possible_cpus, sizeof *each);
    memset(counts, 0, BID_COUNTS * sizeof *counts);
    for (uint32_t i = 0; each && i < BID_COUNTS; i++)
        if (bid_map_command(BPF_MAP_LOOKUP_ELEM, programs->counts, &i, each) == 0)
            for (unsigned cpu = 0; cpu < programs->possible_cpus; cpu++)
                counts[i] += each[cpu];
    free(each);
}
