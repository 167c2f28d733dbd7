/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A lookup needs nothing (G2): under a filter that kills the process for any system call, beside and
 * right after a grow, and in parent and child right after a fork, with no page fault, as the kernel
 * counts them; errno stays what it was.
 *
 * Each instrument is tried on something that it has to notice first.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#else
#define __rseq_offset 0
#endif

#define STEADY 5000 /* entries that stay */
#define ERRNO 4711  /* no error has this number */
#define BATCH 64
#define SKIPPED 77 /* exit status: the driver reports the last line of output as the reason */

static struct bid_table *make_full_table(uint32_t flags)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20, .flags = flags});
    for (uint64_t i = 0; i < STEADY; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    return table;
}

/* ------------------------------------------------------------------------------------- lookups of every kind -- */

static int count_visit(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    ++*(uint64_t *)argument;
    return 0;
}

/* Returns whether all answers were right and errno is untouched. Nothing here but lookups calls anything. */
static int look_up(const struct bid_table *table, uint64_t number)
{
    struct bid_build_id id = {0};
    struct bid_probe_cost cost;
    uint64_t key = inode_key(number % STEADY), absent = ~number;
    errno = ERRNO;
    int right = bid_lookup(table, key, &id) == BID_OK && id.length == 20 && id.generation == 1;
    right &= bid_lookup(table, absent, &id) == BID_ABSENT;
    right &= bid_lookup_generation(table, key, 1, &id) == BID_OK;
    right &= bid_lookup_generation(table, key, 2, &id) == BID_STALE;
    right &= bid_lookup_cost(table, key, &id, &cost) == BID_OK && cost.slots <= BID_LOOKUP_MAX_SLOTS;
    return right && errno == ERRNO;
}

static int look_many_up(const struct bid_table *table)
{
    uint64_t keys[BATCH], visits = 0;
    uint8_t ids[BATCH][20], lengths[BATCH];
    for (uint64_t i = 0; i < BATCH; i++)
        keys[i] = inode_key(i);
    errno = ERRNO;
    int right = bid_lookup_many(table, keys, BATCH, ids[0], sizeof ids[0], lengths) == BATCH;
    right &= bid_iterate(table, count_visit, &visits) == 0 && visits >= STEADY;
    return right && bid_count(table) >= STEADY && errno == ERRNO;
}

static int look_all_up(const struct bid_table *table)
{
    int right = look_many_up(table);
    for (uint64_t i = 0; i < STEADY; i++)
        right &= look_up(table, i);
    return right;
}

static void errno_stays(uint32_t flags)
{
    struct bid_table *table = make_full_table(flags);
    struct bid_build_id id;
    errno = ERRNO;
    bid_lookup(table, inode_key(1), &id);
    bid_lookup(table, 1, &id);
    CHECK(errno == ERRNO);
    look_all_up(table);
    CHECK(errno == ERRNO);
    bid_destroy(table);
}

/* ------------------------------------------------------------------------------------------- system calls -- */

/* From here on this thread may end the process, and do nothing else. */
static int forbid_system_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* The first lookups of a new thread: the first of them claims the thread's pin. */
static void *look_up_filtered(void *table)
{
    if (forbid_system_calls() != 0)
        _exit(SKIPPED);
    if (table)
        _exit(!look_all_up(table));
    getppid();
    _exit(0);
}

/* How a process ends whose second thread looks everything up under the filter; without a table it calls the system. */
static int filtered(struct bid_table *table)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        pthread_t thread;
        alarm(60);
        CHECK(pthread_create(&thread, NULL, look_up_filtered, table) == 0);
        pthread_join(thread, NULL);
        _exit(2);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static int ended_well(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        fprintf(stderr, "a lookup made a system call\n");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Returns whether the system has such filters. */
static int no_system_call(uint32_t flags)
{
    int status = filtered(NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        return 0;
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    struct bid_table *table = make_full_table(flags);
    CHECK(ended_well(filtered(table)));
    for (uint64_t i = STEADY; !bid_resizing(table); i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(ended_well(filtered(table))); /* over two arrays */
    bid_destroy(table);
    return 1;
}

/* -------------------------------------------------------------------------------------------- page faults -- */

static long page_faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

static void touch(uintptr_t address)
{
    volatile char nothing = 0; /* a compiler that knew its value might make a mere load of it all */
    __atomic_fetch_or((char *)address, nothing, __ATOMIC_RELAXED);
}

/* What a program has to see to by itself, touched and not used, so that the table's own memory stays as it was: the
 * stack and the thread's own data, which a fork write-protects (errno, and the area of rseq(2), into which the
 * kernel writes at any preemption), and the code, whose page tables a child does not inherit. */
static __attribute__((noinline)) void warm_up(void)
{
    enum { PAGE = 4096, STACK = 8 * PAGE, CODE = 2 * PAGE }; /* lookup.o has less than two pages of code */
    char stack[STACK];
    for (uintptr_t i = 0; i < STACK + PAGE / 2; i += 512) /* and a little of the caller's */
        touch((uintptr_t)stack + i);
    touch((uintptr_t)__builtin_thread_pointer() + (uintptr_t)__rseq_offset);
    for (uintptr_t i = 0; i < 2 * CODE; i += PAGE) /* also what is before it in its object file */
        (void)*(volatile const char *)((uintptr_t)bid_lookup - CODE + i);
    (void)*(volatile const char *)(uintptr_t)look_up;
    errno = 0;
    page_faults();
}

/* The count of the kernel is for this thread, and counts. */
static void faults_are_counted(void)
{
    char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    warm_up();
    long before = page_faults();
    CHECK(page_faults() == before);
    *(volatile char *)memory = 1;
    CHECK(page_faults() == before + 1);
    CHECK(munmap(memory, 1 << 20) == 0);
}

/* The thread whose insert or reserve ended a resize looks up at once: slots that no copy has
 * touched are read as well. */
static void no_fault_after_a_grow(uint32_t flags)
{
    struct bid_table *table = make_full_table(flags);
    for (uint64_t room = 2 * STEADY; room <= 1 << 20; room *= 4) {
        CHECK_STATUS(bid_reserve(table, room), BID_OK);
        warm_up();
        long before = page_faults();
        int right = 1;
        for (uint64_t i = 0; i < STEADY; i++)
            right &= look_up(table, i);
        for (uint64_t i = 0; i < 4 * STEADY; i++)
            right &= look_up(table, i * 0x9e3779b97f4a7c15ull | 1);
        long after = page_faults();
        CHECK(right);
        CHECK(after == before);
    }
    bid_destroy(table);
}

struct beside {
    struct bid_table *table;
    atomic_int inside, stop;
    long faults;
    uint64_t lookups;
    int right;
};

static void *look_up_beside(void *argument)
{
    struct beside *beside = argument;
    warm_up();
    beside->right = 1;
    long before = page_faults();
    atomic_store(&beside->inside, 1);
    while (!atomic_load_explicit(&beside->stop, memory_order_relaxed))
        beside->right &= look_up(beside->table, beside->lookups++ * 7);
    beside->faults = page_faults() - before;
    return NULL;
}

/* A reader that has done nothing else takes no fault while another thread grows the table, ten times and more. */
static void no_fault_beside_a_grow(uint32_t flags)
{
    struct beside beside = {.table = make_full_table(flags)};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, look_up_beside, &beside) == 0);
    while (!atomic_load(&beside.inside))
        ;
    uint64_t resizes = bid_resizes(beside.table);
    for (uint64_t turn = 0; turn < 6; turn++) {
        for (uint64_t i = STEADY; i < 10 * STEADY; i++)
            CHECK(insert(beside.table, inode_key(i), 1, 20) == BID_OK);
        for (uint64_t i = STEADY; i < 10 * STEADY; i++)
            CHECK(bid_remove(beside.table, inode_key(i)) == BID_OK);
    }
    resizes = bid_resizes(beside.table) - resizes;
    atomic_store(&beside.stop, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    printf("%lu lookups beside %lu resizes, %ld page faults\n", (unsigned long)beside.lookups, (unsigned long)resizes,
           beside.faults);
    CHECK(resizes >= 10 && beside.right && beside.faults == 0);
    bid_destroy(beside.table);
}

/* How many page faults the lookups take that follow; -1: wrong answers. */
static long faults_of_lookups(const struct bid_table *table)
{
    warm_up();
    long before = page_faults();
    int right = look_all_up(table);
    long after = page_faults();
    return right ? after - before : -1;
}

static void no_fault_after_a_fork(uint32_t flags)
{
    struct bid_table *table = make_full_table(flags);
    for (int turn = 0; turn < 20; turn++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        long faults = faults_of_lookups(table);
        if (!pid)
            _exit(faults != 0);
        CHECK(faults == 0);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    bid_destroy(table);
}

int main(void)
{
    int filters = 1;
    faults_are_counted();
    for (unsigned i = 0; i < 2; i++) {
        uint32_t flags = i ? BID_FENCED_PINS : 0;
        errno_stays(flags);
        no_fault_after_a_grow(flags);
        no_fault_beside_a_grow(flags);
        no_fault_after_a_fork(flags);
        filters &= no_system_call(flags);
    }
    if (filters)
        return 0;
    printf("this kernel has no seccomp filters, or forbids them here: that lookups call no system was not checked\n");
    return SKIPPED;
}
