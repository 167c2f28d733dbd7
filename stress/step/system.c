/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations in a system that refuses calls, as an older kernel or a sandbox does, or that has no memory to give. */
#define _GNU_SOURCE
#include "scenarios.h"

#include "../../tests/c/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* ------------------------------------------------------------------------------------- calls that are refused -- */

#define THIRD_ARGUMENT (offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t)) /* its low half: little-endian */
#define WHATEVER UINT32_MAX

/* From now on the kernel refuses a call with this third argument, with `error`. If error is 0, the kernel does nothing,
 * and the call returns 0. */
static void refuse(long call, uint32_t third, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, THIRD_ARGUMENT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, third, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (third == WHATEVER)
        program[3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0);
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static int reserve_more(void)
{
    return bid_reserve(stepped, 20000);
}

/* As in Linux before 5.14: the table has to touch memory to make it present. */
static void prepare_no_populate(void)
{
    prepare_key();
    refuse(SYS_madvise, MADV_POPULATE_WRITE, EINVAL);
}

static void prepare_populate_fails(void)
{
    prepare_key();
    refuse(SYS_madvise, MADV_POPULATE_WRITE, ENOMEM);
}

/* Without membarrier() retired memory is never freed. */
static void prepare_no_membarrier(void)
{
    prepare_key();
    prepare_retired();
    refuse(SYS_membarrier, WHATEVER, EPERM);
}

static int reclaim_nothing(void)
{
    return bid_reclaim(stepped) ? BID_OK : BID_E_NULL;
}

/* munmap() fails, as in a process that has as many mappings as it may have. The table keeps the addresses, and gives
 * back the memory. */
static void prepare_no_unmap(void)
{
    prepare_key();
    prepare_retired();
    refuse(SYS_munmap, WHATEVER, ENOMEM);
}

static int reclaim_all(void)
{
    return bid_reclaim(stepped) ? BID_E_RETIRED : BID_OK;
}

static int create_with(struct bid_options options)
{
    struct bid_table *table;
    options.size = sizeof options;
    int status = bid_create(&table, &options);
    bid_destroy(table);
    return status;
}

static int create_locked(void)
{
    return create_with((struct bid_options){.flags = BID_MLOCK});
}

static void prepare_no_lock(void)
{
    prepare_key();
    refuse(SYS_mlock, WHATEVER, EPERM);
}

/* Makes the table believe that it locks memory, and refuses MADV_DONTNEED, as the kernel does for locked memory. */
static void prepare_locked(void)
{
    prepare_key();
    refuse(SYS_mlock, WHATEVER, 0);
    refuse(SYS_munlock, WHATEVER, 0);
    refuse(SYS_madvise, MADV_DONTNEED, EINVAL);
}

/* As prepare_locked(), and the memory cannot be unmapped or wiped either. */
static void prepare_locked_for_good(void)
{
    prepare_locked();
    refuse(SYS_munmap, WHATEVER, ENOMEM);
    refuse(SYS_madvise, MADV_WIPEONFORK, EINVAL);
}

/* As in Linux before 4.14, which has no memory that a fork wipes: pins need it. */
static void prepare_no_wipe(void)
{
    prepare_key();
    refuse(SYS_madvise, MADV_WIPEONFORK, EINVAL);
}

static int create_fenced(void)
{
    return create_with((struct bid_options){.flags = BID_FENCED_PINS});
}

static int create_locked_and_fenced(void)
{
    EXPECT(create_locked(), BID_OK);
    return create_fenced();
}

/* As early in the boot, when there are no random numbers yet: the table takes a seed all the same. */
static void prepare_no_random(void)
{
    prepare_key();
    refuse(SYS_getrandom, WHATEVER, EAGAIN);
}

static int create(void)
{
    return create_with((struct bid_options){.expected_entries = 3000});
}

/* -------------------------------------------------------------------------------------- how much memory there is -- */

/* Files of /proc and /sys that open() gives instead of this machine's; NULL: those of this machine. */
static const struct text {
    const char *path, *text;
} *texts;

/* In the place of libc's. */
int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (!texts)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    for (const struct text *text = texts; text->path; text++) {
        int fd, length = (int)strlen(text->text);
        if (strcmp(path, text->path) != 0)
            continue;
        CHECK((fd = memfd_create("text", MFD_CLOEXEC)) >= 0);
        CHECK(write(fd, text->text, (size_t)length) == length && lseek(fd, 0, SEEK_SET) == 0);
        return fd;
    }
    errno = ENOENT;
    return -1;
}

#define HUGE_ENTRIES 1500000 /* so many that the table asks for huge pages, and how much memory there is */

static int reserve_huge_with(const struct text *files)
{
    texts = files;
    int status = bid_reserve(stepped, HUGE_ENTRIES);
    texts = NULL;
    return status;
}

static int reserve_little_available(void)
{
    static const struct text files[] = {{"/proc/meminfo", "MemTotal: 9 kB\nMemAvailable: 9 kB\nSwapFree: 0 kB\n"}, {0}};
    return reserve_huge_with(files);
}

/* Limits of memory of a group within another one, by version 1 of cgroups, where the inner limit is used up; and of a
 * group by version 2. */
static int reserve_at_limits(void)
{
    static const struct text old[] = {
        {"/proc/self/cgroup", "2:cpu:/\n1:memory:/outer/inner\n"},
        {"/sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes", "1000\n"},
        {"/sys/fs/cgroup/memory/outer/inner/memory.usage_in_bytes", "5000\n"},
        {"/sys/fs/cgroup/memory/outer/inner/memory.stat", "cache 0\ntotal_inactive_file 4000\n"},
        {0},
    };
    static const struct text new[] = {
        {"/proc/meminfo", "MemTotal: 9 kB\n"},
        {"/proc/self/cgroup", "0::/group"},
        {"/sys/fs/cgroup/group/memory.max", "9000000\n"},
        {"/sys/fs/cgroup/group/memory.current", "2000\n"},
        {"/sys/fs/cgroup/memory.max", "max\n"},
        {0},
    };
    EXPECT(reserve_huge_with(old), BID_E_NO_MEMORY);
    return reserve_huge_with(new);
}

static int reserve_without_files(void)
{
    static const struct text files[] = {{0}};
    return reserve_huge_with(files);
}

/* ----------------------------------------------------------------------------------------------- the list -- */

static const struct bid_options by_chance = {.expected_entries = 1, .id_size = BID_ID_MAX};

const struct scenario system_scenarios[] = {
    {"reserve-no-populate", "reserve where memory is made present by touching it", LIMITED, &small, prepare_no_populate,
     reserve, 1, 1, BID_OK},
    {"reserve-populate-fails", "reserve of memory that cannot be made present", LIMITED, &small, prepare_populate_fails,
     reserve_more, 1, 1, BID_E_NO_MEMORY},
    {"reclaim-no-membarrier", "nothing can be freed without membarrier()", LIMITED, &small, prepare_no_membarrier,
     reclaim_nothing, 1, 1, BID_OK},
    {"reclaim-no-unmap", "a retired array that cannot be unmapped", LIMITED, &small, prepare_no_unmap, reclaim_all, 1,
     1, BID_OK},
    {"create-no-lock", "a table that cannot be locked in memory", LIMITED, &small, prepare_no_lock, create_locked, 1, 1,
     BID_E_MLOCK},
    {"create-locked", "a table locked in memory: create, destroy", LIMITED, &small, prepare_locked, create_locked, 1, 1,
     BID_OK},
    {"create-locked-for-good", "tables whose memory cannot be given back", LIMITED, &small, prepare_locked_for_good,
     create_locked_and_fenced, 1, 1, BID_E_UNSUPPORTED},
    {"create-no-wipe", "no memory for pins that a fork wipes", LIMITED, &small, prepare_no_wipe, create_fenced, 1, 1,
     BID_E_UNSUPPORTED},
    {"create-no-random", "a seed without getrandom()", LIMITED, &by_chance, prepare_no_random, create, 1, 1, BID_OK},
    {"reserve-little-available", "reserve of more than the system says it can give", LIMITED, &small, prepare_key,
     reserve_little_available, 1, 1, BID_E_NO_MEMORY},
    {"reserve-at-limits", "reserve of more than a control group may have", LIMITED, &small, prepare_key,
     reserve_at_limits, 1, 1, BID_E_NO_MEMORY},
    {"reserve-without-files", "reserve where nothing says how much there is", LIMITED, &small, prepare_key,
     reserve_without_files, 1, 1, BID_OK},
    {0},
};
