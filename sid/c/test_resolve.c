/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses in NMI context, the answers: every reason, the search against a slow one, a reader that stalls, fork, files
 * that are out of sight, and the thread that follows. test_resolve_interrupted.c interrupts the refreshes.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include <linux/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ThreadSanitizer ends the child of a process with threads that starts one. gcc has a macro, clang a feature. */
#ifdef __has_feature
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#else
#define THREAD_SANITIZER 0
#endif

_Static_assert(sizeof(struct bid_stack_build_id) == sizeof(struct bpf_stack_build_id), "the kernel's layout");
_Static_assert(offsetof(struct bid_stack_build_id, build_id) == offsetof(struct bpf_stack_build_id, build_id), "same");
_Static_assert(offsetof(struct bid_stack_build_id, offset) == offsetof(struct bpf_stack_build_id, offset), "same");
_Static_assert(offsetof(struct bid_stack_build_id, ip) == offsetof(struct bpf_stack_build_id, ip), "same");
_Static_assert((int)BID_STACK_VALID == BPF_STACK_BUILD_ID_VALID && (int)BID_STACK_IP == BPF_STACK_BUILD_ID_IP, "same");
/* ------------------------------------------------------------------------------------------------- reasons -- */

static const struct bid_inode *inode_at(uint64_t ip)
{
    const struct bid_snapshot *snapshot = bid_load(&maps->current, BID_M_ACQUIRE);
    for (uint64_t i = 0; i < snapshot->count; i++)
        if (snapshot->ranges[i].start <= ip && ip < snapshot->ranges[i].end)
            return &snapshot->ranges[i].file->inode;
    return NULL;
}

static void own_code(void)
{
    struct bid_elf elf;
    struct bid_stack_build_id record;
    FILE *file = fopen("/proc/self/exe", "r");
    CHECK(file && bid_elf_read_fd(&elf, BID_ELF_FILE, fileno(file)) == BID_ELF_OK && elf.id_length == 20);
    CHECK(reason_of((uintptr_t)own_code) == BID_RESOLVE_NO_MAPPING); /* nothing was refreshed yet */
    refresh();
    CHECK(bid_resolve(maps, (uintptr_t)own_code, &record, NULL) == BID_RESOLVED);
    CHECK(memcmp(record.build_id, elf.id, 20) == 0);
    uint8_t here[32], there[32];
    memcpy(here, (void *)(uintptr_t)own_code, sizeof here);
    CHECK(fseek(file, (long)record.offset, SEEK_SET) == 0 && fread(there, sizeof there, 1, file) == 1);
    CHECK(memcmp(here, there, sizeof here) == 0); /* the offset is the one in the file */
    fclose(file);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
}

static int find_vdso(void *argument, const struct bid_mapping *mapping)
{
    if (strcmp(mapping->path, "[vdso]") == 0)
        *(uint64_t *)argument = mapping->start;
    return 0;
}

static void reasons(void)
{
    struct bid_build_id whole;
    struct bid_stack_build_id record;
    static int data;
    uint64_t vdso = 0;
    make_elf(in_directory("plain"), 1, 20);
    make_elf(in_directory("short"), 9, 8);
    make_elf(in_directory("long"), 50, 32);
    make_elf(in_directory("none"), 0, 0);
    uint64_t plain = map_code(in_directory("plain"), NULL), brief = map_code(in_directory("short"), NULL);
    uint64_t lengthy = map_code(in_directory("long"), NULL), none = map_code(in_directory("none"), NULL);
    make_elf(in_directory("deleted"), 90, 20);
    uint64_t deleted = map_code(in_directory("deleted"), NULL);
    CHECK(unlink(in_directory("deleted")) == 0);
    make_elf(in_directory("deleted"), 120, 20); /* another file of that name */
    void *jit = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    refresh();
    check_code(plain, 1, 20);
    check_code(brief, 9, 8);
    check_code(deleted, 90, 20); /* from the image in memory */
    CHECK(reason_of(none) == BID_RESOLVE_NO_BUILD_ID);
    CHECK(reason_of((uintptr_t)jit) == BID_RESOLVE_NO_FILE);
    CHECK(reason_of(0) == BID_RESOLVE_NO_MAPPING && reason_of(UINT64_MAX) == BID_RESOLVE_NO_MAPPING);
    CHECK(reason_of((uintptr_t)&data) == BID_RESOLVE_NO_MAPPING);
    CHECK(reason_of(plain + PAGE - 1) == BID_RESOLVED);
    CHECK(reason_of(plain - PAGE) == BID_RESOLVED);
    CHECK(bid_resolve(maps, lengthy, &record, &whole) == BID_RESOLVE_LONG_ID && record.status == BID_STACK_IP);
    CHECK(whole.length == 32 && whole.bytes[31] == 81);
    CHECK(bid_maps_iterate(maps, find_vdso, &vdso, NULL) == 0);
    CHECK(!vdso || reason_of(vdso) == BID_RESOLVED);

    /* What an eviction leaves, and what a missed one would: an entry of another generation. */
    const struct bid_inode *inode = inode_at(plain);
    CHECK_STATUS(bid_remove(maps->table, (uintptr_t)inode), BID_OK);
    CHECK(reason_of(plain) == BID_RESOLVE_UNKNOWN_FILE);
    CHECK_STATUS(bid_insert(maps->table, (uintptr_t)inode, inode->generation + 1, "other", 5), BID_OK);
    CHECK(reason_of(plain) == BID_RESOLVE_STALE);
    CHECK_STATUS(bid_inode_evict(maps->table, (struct bid_inode *)inode), BID_OK);
    CHECK(reason_of(plain) == BID_RESOLVE_UNKNOWN_FILE);

    unmap_code(plain);
    refresh();
    CHECK(reason_of(plain) == BID_RESOLVE_NO_MAPPING);
    CHECK(reason_of(none) == BID_RESOLVE_NO_BUILD_ID); /* inherited from the snapshot before */
    check_code(brief, 9, 8);
    unmap_code(brief), unmap_code(lengthy), unmap_code(none), unmap_code(deleted);
    munmap(jit, PAGE);
    refresh();
}

/* ---------------------------------------------------------------------------------------------- the search -- */

/* Snapshots made by hand, of 0 to 66 ranges with and without gaps: each boundary, by halving and one by one. */
static void search(void)
{
    static struct bid_range ranges[66];
    struct bid_snapshot *real = bid_load(&maps->current, BID_M_ACQUIRE), fake = {.ranges = ranges};
    uint64_t address = 1000;
    for (unsigned i = 0; i < 66; i++) {
        ranges[i] = (struct bid_range){.start = address, .end = address + 10, .path = ""};
        address += i % 3 ? 10 : 15;
    }
    bid_store(&maps->current, &fake, BID_M_RELEASE);
    for (fake.count = 0; fake.count <= 66; fake.count++)
        for (uint64_t ip = 990; ip < address + 20; ip++) {
            int inside = 0;
            for (uint64_t i = 0; i < fake.count; i++)
                inside |= ranges[i].start <= ip && ip < ranges[i].end;
            CHECK(reason_of(ip) == (inside ? BID_RESOLVE_NO_FILE : BID_RESOLVE_NO_MAPPING));
        }
    bid_store(&maps->current, real, BID_M_RELEASE);
}
/* -------------------------------------------------------------------------------------------- stalled, forked -- */

/* A reader that stays for as long as others refresh: memory waits for it up to the limit, and lookups stay right. */
static int stay(void *argument, const struct bid_mapping *mapping)
{
    int status, *published = argument;
    (void)mapping;
    for (;;) {
        uint64_t code = map_code(in_directory("plain"), NULL);
        status = bid_maps_refresh(maps);
        if (status == BID_OK)
            check_code(code, 1, 20);
        unmap_code(code);
        if (status != BID_OK)
            break;
        ++*published;
        status = bid_maps_refresh(maps);
        if (status != BID_OK)
            break;
        ++*published;
        CHECK(*published < 10 * BID_MAPS_RETIRED_MAX);
    }
    CHECK_STATUS(status, BID_E_RETIRED);
    CHECK(bid_maps_waiting(maps) >= BID_MAPS_RETIRED_MAX);
    CHECK(reason_of((uintptr_t)own_code) == BID_RESOLVED);
    return 1;
}

static void stalled(void)
{
    int published = 0;
    CHECK(bid_maps_iterate(maps, stay, &published, NULL) == 1);
    CHECK(published == BID_MAPS_RETIRED_MAX);
    for (int i = 0; i < 3; i++)
        refresh();
    CHECK(bid_maps_waiting(maps) == 0);
}

static void forked(void)
{
    uint64_t before = map_code(in_directory("short"), NULL);
    refresh();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        check_code(before, 9, 8);
        uint64_t code = map_code(in_directory("plain"), NULL);
        CHECK(reason_of(code) == BID_RESOLVE_NO_MAPPING);
        refresh();
        check_code(code, 1, 20);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    unmap_code(before);
    refresh();
}

/* The path leads to another file, because something was mounted over it: the image in memory tells. */
static void covered(void)
{
    pid_t child = fork();
    if (child == 0) {
        uint64_t code = map_code(in_directory("plain"), NULL);
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(in_directory("short"), in_directory("plain"), NULL, MS_BIND, NULL) != 0) {
            printf("skipped: a file covered by a mount, which needs root\n");
            _exit(0);
        }
        refresh();
        check_code(code, 1, 20);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void wait_for(uint64_t ip, int reason)
{
    for (int i = 0; i < 2000 && reason_of(ip) != reason; i++)
        usleep(5000);
    CHECK(reason_of(ip) == reason);
}

static void followed_in_a_child(void)
{
#if !THREAD_SANITIZER
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* the thread is not there */
        CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
        uint64_t code = map_code(in_directory("short"), NULL);
        wait_for(code, BID_RESOLVED);
        bid_maps_destroy(maps);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
#endif
}

static void followed(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
    uint64_t code = map_code(in_directory("plain"), NULL);
    wait_for(code, BID_RESOLVED);
    check_code(code, 1, 20);
    unmap_code(code);
    wait_for(code, BID_RESOLVE_NO_MAPPING);
    followed_in_a_child();
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

/* Where no descriptor may be opened (RLIMIT_NOFILE) nothing is found, but the thread waits, and ends when told. */
static void followed_without_descriptors(void)
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        CHECK_STATUS(bid_maps_follow(maps, 20), BID_OK);
        CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, 0}) == 0);
        clock_t before = clock();
        usleep(400000);
        CHECK(clock() - before < CLOCKS_PER_SEC / 10);
        CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* The caller's table gets the entries, and is empty again afterwards. */
static void own_table(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(bid_maps_create(&maps, table), BID_OK);
    uint64_t lengthy = map_code(in_directory("long"), NULL);
    refresh();
    CHECK(bid_count(table) >= 2 && reason_of((uintptr_t)own_table) == BID_RESOLVED);
    CHECK(reason_of(lengthy) == BID_RESOLVE_UNKNOWN_FILE); /* longer than this table takes */
    bid_maps_destroy(maps);
    CHECK(bid_count(table) == 0);
    bid_destroy(table);
    CHECK_STATUS(bid_maps_create(NULL, NULL), BID_E_NULL);
    CHECK_STATUS(bid_maps_refresh(NULL), BID_E_NULL);
    CHECK_STATUS(bid_maps_follow(NULL, 1), BID_E_NULL);
    bid_maps_destroy(NULL);
}

static int refresh_in_a_visit(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)argument, (void)key, (void)status, (void)id;
    refresh();
    return 1;
}

/* A reader that pins after a snapshot was retired does not keep it, whatever it reads. And the epoch goes up in
 * whole steps: its lower bits are the depth of the pins to come. */
static void a_new_reader(void)
{
    struct bid_table *other = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(bid_insert(other, 1, 0, "x", 1), BID_OK);
    refresh();
    refresh();
    uint64_t code = map_code(in_directory("plain"), NULL);
    CHECK(bid_iterate(other, refresh_in_a_visit, NULL) == 1);
    CHECK(bid_maps_waiting(maps) == 1); /* for the visit, which began before */
    CHECK(bid_iterate(other, refresh_in_a_visit, NULL) == 1);
    CHECK(bid_maps_waiting(maps) == 0);
    CHECK((bid_load(&maps->pins->epoch, BID_RELAXED) & BID_PIN_DEPTH_MASK) == 1);
    unmap_code(code);
    refresh();
    bid_destroy(other);
}
/* Arrays of addresses get what each gets alone, whatever comes before it: every order of every two edges. */
static void many(void)
{
    enum { MOST = 4 * BID_RESOLVE_REASONS };
    uint64_t edges[MOST], ips[MOST * MOST * 2];
    size_t n = 0, count = 0, expected = 0;
    static struct bid_stack_build_id records[MOST * MOST * 2 + 1];
    static uint8_t reasons[MOST * MOST * 2 + 1];
    uint64_t code[] = {map_code(in_directory("many"), NULL), map_code(in_directory("none"), NULL),
                       map_code(in_directory("long"), NULL),
                       (uintptr_t)mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
                           PAGE};
    refresh();
    for (size_t i = 0; i < sizeof code / sizeof code[0]; i++) {
        uint64_t start = code[i] - PAGE, end = code[i] + PAGE;
        edges[n++] = start - 1;
        edges[n++] = start;
        edges[n++] = end - 1;
        edges[n++] = end;
    }
    edges[n++] = 0;
    edges[n++] = ~0ull;
    for (size_t i = 0; i < n * n; i++) {
        ips[count++] = edges[i / n];
        ips[count++] = edges[i % n];
    }
    memset(reasons, 0xee, sizeof reasons);
    memset(records, 0xee, sizeof records);
    size_t resolved = bid_resolve_many(maps, ips, count, records, reasons);
    for (size_t i = 0; i < count; i++) {
        struct bid_stack_build_id record;
        int reason = bid_resolve(maps, ips[i], &record, NULL);
        CHECK(reasons[i] == reason && memcmp(&record, &records[i], sizeof record) == 0);
        expected += reason == BID_RESOLVED;
    }
    CHECK(resolved == expected && expected > 100 && reasons[count] == 0xee && records[count].status == (int)0xeeeeeeee);
    CHECK(bid_resolve_many(maps, ips, count, records, NULL) == expected);
    CHECK(bid_resolve_many(maps, ips, 0, records, reasons) == 0);
    for (size_t i = 0; i < 3; i++)
        unmap_code(code[i]);
}

int main(void)
{
    begin_mapping();
    own_code();
    reasons();
    make_elf(in_directory("many"), 1, 20);
    make_elf(in_directory("none"), 1, 0);
    make_elf(in_directory("long"), 1, 32);
    many();
    search();
    a_new_reader();
    stalled();
    forked();
    covered();
    followed();
    followed_without_descriptors();
    bid_maps_destroy(maps);
    own_table();
    remove_directory();
    return 0;
}
