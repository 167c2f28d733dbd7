/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses in NMI context: every reason, the search against a slow one, refreshes that handlers and other threads
 * interrupt at each instruction, or that stop, a reader that stalls, fork, and the thread that follows.
 */
#define _GNU_SOURCE
#include "check.h"

#include "../../csrc/resolve/resolve.h"

#include <elf.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define ELF_BYTE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)
#define ROUNDS 400

_Static_assert(sizeof(struct bid_stack_build_id) == sizeof(struct bpf_stack_build_id), "the kernel's layout");
_Static_assert(offsetof(struct bid_stack_build_id, build_id) == offsetof(struct bpf_stack_build_id, build_id), "same");
_Static_assert(offsetof(struct bid_stack_build_id, offset) == offsetof(struct bpf_stack_build_id, offset), "same");
_Static_assert(offsetof(struct bid_stack_build_id, ip) == offsetof(struct bpf_stack_build_id, ip), "same");
_Static_assert((int)BID_STACK_VALID == BPF_STACK_BUILD_ID_VALID && (int)BID_STACK_IP == BPF_STACK_BUILD_ID_IP, "same");

static struct bid_maps *maps;

/* ----------------------------------------------------------------------------------------------- ELF files -- */

/* Two pages: the header with a note, and `code`. length 0: no note. */
static int make_elf(const char *path, uint8_t first, unsigned length)
{
    static uint8_t image[2 * PAGE];
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELF_BYTE_ORDER, EV_CURRENT},
                         .e_type = ET_DYN,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_phoff = sizeof header,
                         .e_ehsize = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = length ? 1 : 0};
    Elf64_Nhdr note = {4, length, NT_GNU_BUILD_ID};
    uint64_t size = sizeof note + 4 + length;
    Elf64_Phdr segment = {.p_type = PT_NOTE, .p_offset = 256, .p_vaddr = 256, .p_filesz = size, .p_memsz = size};
    memset(image, 0, sizeof image);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, &segment, sizeof segment);
    memcpy(image + 256, &note, sizeof note);
    memcpy(image + 256 + sizeof note, "GNU", 4);
    for (unsigned i = 0; i < length; i++)
        image[256 + sizeof note + 4 + i] = (uint8_t)(first + i);
    FILE *file = fopen(path, "w");
    CHECK(file && fwrite(image, sizeof image, 1, file) == 1 && fclose(file) == 0);
    return 0;
}

static char directory[] = "test_resolve.XXXXXX";

static const char *in_directory(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *at = path[turn++ % 4];
    CHECK(realpath(directory, at));
    strcat(strcat(at, "/"), name);
    return at;
}

/* Maps a file as code, in one step; the address of its second page. */
static uint64_t map_code(const char *path, void *where)
{
    FILE *file = fopen(path, "r");
    CHECK(file);
    int fixed = where ? MAP_FIXED : 0;
    char *base = mmap(where, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | fixed, fileno(file), 0);
    CHECK(base != MAP_FAILED);
    fclose(file);
    return (uintptr_t)base + PAGE;
}

static void unmap_code(uint64_t code)
{
    CHECK(munmap((void *)(code - PAGE), 2 * PAGE) == 0);
}

static void refresh(void)
{
    int status = bid_maps_refresh(maps);
    if (status != BID_EXISTS)
        CHECK_STATUS(status, BID_OK);
}

static int reason_of(uint64_t ip)
{
    struct bid_stack_build_id record;
    int reason = bid_resolve(maps, ip, &record, NULL);
    if (reason == BID_RESOLVED)
        CHECK(record.status == BID_STACK_VALID);
    else
        CHECK(record.status == BID_STACK_IP && record.ip == ip && !record.build_id[0] && !record.build_id[19]);
    return reason;
}

static void check_code(uint64_t code, uint8_t first, unsigned length)
{
    struct bid_stack_build_id record;
    CHECK(bid_resolve(maps, code + 5, &record, NULL) == BID_RESOLVED);
    CHECK(record.status == BID_STACK_VALID && record.offset == PAGE + 5);
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        CHECK(record.build_id[i] == (i < length ? (uint8_t)(first + i) : 0));
}

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

/* ---------------------------------------------------------------------------------------------- the storm -- */

/*
 * Two files take turns at one address, each refreshed in; handlers and readers look at it and at own code. Own code is
 * always resolved. The turns are seen in order: what is seen is the file of this turn or of the last, and once of this
 * then no more of the last.
 */
static struct {
    uint64_t place;
    atomic_ulong begun, done; /* turns */
    atomic_ulong lookups, handlers, in_refresh;
    atomic_int refreshing, stop;
    struct bid_stack_build_id own;
} storm;

static void look(uint64_t *newest)
{
    struct bid_stack_build_id record;
    CHECK(bid_resolve(maps, (uintptr_t)own_code, &record, NULL) == BID_RESOLVED);
    CHECK(memcmp(&record, &storm.own, sizeof record) == 0);
    uint64_t low = atomic_load(&storm.done);
    int reason = bid_resolve(maps, storm.place, &record, NULL);
    uint64_t high = atomic_load(&storm.begun);
    CHECK(reason == BID_RESOLVED);
    low = low > *newest ? low : *newest;
    CHECK(low <= high);
    if (high - low >= 8)
        return; /* stopped for so long in between that each file had its turn */
    uint64_t turn = low;
    while (turn <= high && record.build_id[0] != (uint8_t)(10 + turn % 8))
        turn++;
    CHECK(turn <= high); /* neither before what was seen, nor after what was begun, nor torn */
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        CHECK(record.build_id[i] == (uint8_t)(10 + turn % 8 + i));
    *newest = turn;
    atomic_fetch_add(&storm.lookups, 1);
}

static void on_signal(int signal)
{
    static uint64_t newest; /* SIGPROF is blocked in all threads but one */
    (void)signal;
    look(&newest);
    atomic_fetch_add(&storm.handlers, 1);
    atomic_fetch_add(&storm.in_refresh, (unsigned long)atomic_load(&storm.refreshing));
}

static void *reader(void *argument)
{
    uint64_t newest = 0;
    while (!atomic_load(&storm.stop)) {
        look(&newest);
        pthread_kill(*(pthread_t *)argument, SIGPROF);
    }
    return NULL;
}

static void *refresher(void *argument)
{
    (void)argument;
    while (!atomic_load(&storm.stop)) {
        int status = bid_maps_refresh(maps);
        CHECK(status == BID_OK || status == BID_EXISTS || status == BID_E_RETIRED);
    }
    return NULL;
}

static void block(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static void turn(unsigned number)
{
    static const char *const names[8] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    atomic_store(&storm.begun, number);
    map_code(in_directory(names[number % 8]), (void *)(storm.place - PAGE));
    atomic_store(&storm.refreshing, 1);
    refresh();
    atomic_store(&storm.refreshing, 0);
    atomic_store(&storm.done, number);
}

static void run_storm(void)
{
    pthread_t threads[2], self = pthread_self();
    for (unsigned i = 0; i < 8; i++)
        make_elf(in_directory((char[2]){(char)('0' + i), 0}), (uint8_t)(10 + i), 20);
    storm.place = map_code(in_directory("0"), NULL);
    refresh();
    CHECK(bid_resolve(maps, (uintptr_t)own_code, &storm.own, NULL) == BID_RESOLVED);
    block(SIG_BLOCK);
    signal(SIGPROF, on_signal);
    CHECK(pthread_create(&threads[0], NULL, reader, &self) == 0);
    CHECK(pthread_create(&threads[1], NULL, refresher, NULL) == 0);
    block(SIG_UNBLOCK);
    unsigned turns = 0;
    while (turns < ROUNDS || (atomic_load(&storm.in_refresh) < 1000 && turns < 10 * ROUNDS))
        turn(++turns);
    atomic_store(&storm.stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    signal(SIGPROF, SIG_IGN);
    unmap_code(storm.place);
    for (int i = 0; i < 3; i++) /* what one refresh retires, the next frees */
        refresh();
    CHECK(bid_maps_waiting(maps) == 0);
    CHECK(atomic_load(&storm.in_refresh) > 0);
    printf("storm: %u turns, %lu lookups, %lu from handlers, %lu of them inside a refresh\n", turns,
           atomic_load(&storm.lookups), atomic_load(&storm.handlers), atomic_load(&storm.in_refresh));
}

/* ------------------------------------------------------------------------------------ every instruction -- */

#if defined(__x86_64__)
#define TRAP_FLAG 0x100
#define STOP_EVERY 1009
static struct {
    uint64_t steps, place;
    int now, next; /* the first byte of the ID of the file at place, before and after */
    int stopping;  /* the stepped thread stops now and then, until another has mapped a file and refreshed */
    atomic_int asked, answered;
} step;

static void map_number(unsigned number)
{
    map_code(in_directory((char[2]){(char)('0' + number % 8), 0}), (void *)(step.place - PAGE));
}

/* The other thread: a file of its own for each question. */
static void *answer(void *argument)
{
    (void)argument;
    for (int turn = 1;; turn++) {
        while (atomic_load(&step.asked) < turn)
            if (atomic_load(&step.asked) < 0)
                return NULL;
        map_number((unsigned)turn);
        refresh();
        atomic_store(&step.answered, turn);
    }
}

static void stop_here(void)
{
    int turn = atomic_fetch_add(&step.asked, 1) + 1;
    while (atomic_load(&step.answered) < turn)
        ;
    step.now = step.next = 10 + turn % 8;
}

/* The file that was there or the one that comes, and never back; own code always. */
static void on_step(int signal, siginfo_t *info, void *context)
{
    struct bid_stack_build_id record;
    (void)signal, (void)info, (void)context;
    if (++step.steps % STOP_EVERY == 0 && step.stopping)
        stop_here();
    CHECK(bid_resolve(maps, (uintptr_t)own_code, &record, NULL) == BID_RESOLVED);
    CHECK(memcmp(&record, &storm.own, sizeof record) == 0);
    CHECK(bid_resolve(maps, step.place, &record, NULL) == BID_RESOLVED);
    CHECK(record.build_id[0] == step.now || record.build_id[0] == step.next);
    step.now = record.build_id[0];
}

static void set_trap_flag(int signal, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = signal == SIGUSR1 ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

/* A refresh that publishes and retires, and the next, which frees. */
static void stepped(void)
{
    step.place = map_code(in_directory("plain"), NULL);
    refresh();
    refresh();
    step.now = 1, step.next = 9;
    handle(SIGTRAP, on_step), handle(SIGUSR1, set_trap_flag), handle(SIGUSR2, set_trap_flag);
    map_code(in_directory("short"), (void *)(step.place - PAGE));
    raise(SIGUSR1);
    int first = bid_maps_refresh(maps);
    int second = bid_maps_refresh(maps);
    raise(SIGUSR2);
    CHECK(first == BID_OK && second == BID_EXISTS && step.now == 9 && bid_maps_waiting(maps) == 0);
    CHECK(step.steps > 10000);
    printf("stepped: a lookup after each of %lu instructions of two refreshes\n", (unsigned long)step.steps);
}

/* A refresh that stops at every 1,009th instruction, until another thread has published something newer: that thread is
 * never kept from it, and what it published is never replaced by what the stopped one had read before. */
static void stopped(void)
{
    pthread_t other;
    CHECK(pthread_create(&other, NULL, answer, NULL) == 0);
    step.stopping = 1;
    unmap_code(step.place);
    map_number(0);
    step.next = 10;
    raise(SIGUSR1);
    int status = bid_maps_refresh(maps);
    raise(SIGUSR2);
    CHECK(status == BID_OK || status == BID_EXISTS);
    CHECK(step.now == 10 + atomic_load(&step.asked) % 8);
    printf("stopped: %d times in one refresh\n", atomic_load(&step.asked));
    atomic_store(&step.asked, -1);
    pthread_join(other, NULL);
    unmap_code(step.place);
    for (int i = 0; i < 3; i++)
        refresh();
    CHECK(bid_maps_waiting(maps) == 0);
}
#else
static void stepped(void)
{
    printf("skipped: single-stepping by the trap flag is x86-64's\n");
}

static void stopped(void)
{
}
#endif

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

static void followed(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
    uint64_t code = map_code(in_directory("plain"), NULL);
    wait_for(code, BID_RESOLVED);
    check_code(code, 1, 20);
    unmap_code(code);
    wait_for(code, BID_RESOLVE_NO_MAPPING);
    pid_t child = fork();
    if (child == 0) { /* the thread is not there */
        CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
        code = map_code(in_directory("short"), NULL);
        wait_for(code, BID_RESOLVED);
        bid_maps_destroy(maps);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
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

/* A reader that pins after a snapshot was retired does not keep it, whatever it reads. And the epoch goes up in whole steps:
 * its lower bits are the depth of the pins to come. */
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
    bid_destroy(other);
}

int main(void)
{
    CHECK(mkdtemp(directory));
    CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
    own_code();
    reasons();
    search();
    a_new_reader();
    run_storm();
    stepped();
    stopped();
    stalled();
    forked();
    covered();
    followed();
    bid_maps_destroy(maps);
    own_table();
    for (const char *const *name = (const char *const[]){"plain", "short", "long", "none", "deleted", "0", "1", "2",
                                                         "3", "4", "5", "6", "7", NULL};
         *name; name++)
        unlink(in_directory(*name));
    rmdir(directory);
    return 0;
}
