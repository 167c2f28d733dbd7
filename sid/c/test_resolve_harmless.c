/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What follows the mappings leaves the program as it is: descriptors, signals, ids and capabilities,
 * children. And a refresh of the program's own reads and closes nothing that is not its own, whatever another
 * thread does to its numbers.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOBODY 65534
#define DESCRIPTORS 256

/* --------------------------------------------------------------------------- numbers that are taken away -- */

/* In the place of libc's: before a read of a file of that name, another thread puts a pipe
 * in the descriptor's place. */
static struct {
    const char *name; /* NULL: none does */
    int pipe[2];
    int times, taken;
    int number; /* that was taken last */
} thief;

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    char link[64], path[256] = {0};
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
    if (thief.name && thief.times && readlink(link, path, sizeof path - 1) > 0 &&
        strcmp(strrchr(path, '/') + 1, thief.name) == 0) {
        CHECK(dup2(thief.pipe[0], fd) == fd);
        thief.times--, thief.taken++, thief.number = fd;
    }
    return (ssize_t)syscall(SYS_pread64, fd, buffer, bytes, offset);
}

/* The pipe has all its bytes, and the number that it got is its own. */
static void check_pipe(void)
{
    char bytes[32] = {0};
    CHECK(thief.taken > 0);
    CHECK(fcntl(thief.number, F_GETFD) != -1);
    CHECK(read(thief.number, bytes, sizeof bytes) == 16 && strcmp(bytes, "0123456789ABCDEF") == 0);
    CHECK(close(thief.number) == 0);
}

static int refresh_robbed_of(const char *name, int times)
{
    CHECK(pipe(thief.pipe) == 0 && write(thief.pipe[1], "0123456789ABCDEF", 16) == 16);
    thief.name = name, thief.times = times, thief.taken = 0;
    int status = bid_maps_refresh(maps);
    thief.name = NULL;
    if (times == 1)
        check_pipe();
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    return status;
}

static void robbed(void)
{
    uint64_t code = map_code(in_directory("plain"), NULL);
    CHECK_STATUS(refresh_robbed_of("maps", 1), BID_OK); /* reads it again */
    check_code(code, 1, 20);
    unmap_code(code);
    CHECK_STATUS(refresh_robbed_of("maps", 1000), BID_E_UNSUPPORTED);
    refresh(); /* or the same file at the same address would be nothing new */
    code = map_code(in_directory("plain"), NULL);
    CHECK_STATUS(refresh_robbed_of("plain", 1), BID_OK);
    check_code(code, 1, 20);
    unmap_code(code);
    code = map_code(in_directory("plain"), NULL);
    CHECK(rename(in_directory("plain"), in_directory("renamed")) == 0);
    without_map_files(); /* so that the deleted file is read from memory */
    CHECK(unlink(in_directory("renamed")) == 0);
    CHECK_STATUS(refresh_robbed_of("mem", 1), BID_OK);
    CHECK(reason_of(code) == BID_RESOLVE_UNKNOWN_FILE);
    refresh();
    check_code(code, 1, 20);
    unmap_code(code);
    refresh();
}

/* ----------------------------------------------------------------------------------------- descriptors -- */

static void wait_for(uint64_t ip, int reason)
{
    for (int i = 0; i < 2000 && reason_of(ip) != reason; i++)
        usleep(5000);
    CHECK(reason_of(ip) == reason);
}

/* Waits until the thread has found code that was not there before: a file's and, where that may not be read, none's. */
static void check_it_follows(void)
{
    if (geteuid() != NOBODY) {
        uint64_t plain = map_code(in_directory("plain"), NULL);
        wait_for(plain, BID_RESOLVED);
        check_code(plain, 1, 20);
        unmap_code(plain);
    }
    void *code = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    wait_for((uintptr_t)code, BID_RESOLVE_NO_FILE);
    CHECK(munmap(code, PAGE) == 0);
    wait_for((uintptr_t)code, BID_RESOLVE_NO_MAPPING);
}

/* A daemon closes everything, and its next descriptors get the numbers. */
static void closing_everything(void)
{
    char bytes[32] = {0};
    int ends[2];
    CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
    for (int round = 0; round < 200; round++)
        for (int fd = 3; fd < 64; fd++)
            CHECK(close(fd) == -1 && errno == EBADF); /* nothing is ever there */
    CHECK(pipe(ends) == 0 && ends[0] == 3 && ends[1] == 4 && write(ends[1], "0123456789ABCDEF", 16) == 16);
    check_it_follows();
    usleep(50000);
    CHECK(read(ends[0], bytes, sizeof bytes) == 16 && strcmp(bytes, "0123456789ABCDEF") == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

static void close_all(void)
{
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        close(fd);
}

/* A close() of any descriptor of the file, by any thread that shares the table of descriptors, gives the lock up. */
static void record_locks(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(in_directory("plain"), O_RDONLY), status;
    CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
    CHECK(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
    for (int i = 0; i < 20; i++) {
        void *base = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        CHECK(base != MAP_FAILED);
        uint64_t code = (uintptr_t)base + PAGE;
        wait_for(code, BID_RESOLVED);
        check_code(code, 1, 20);
        unmap_code(code);
        usleep(2000);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        lock.l_type = F_WRLCK;
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK && lock.l_pid == getppid());
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 1);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

/* What the program closes is closed: the thread keeps no end of a pipe. */
static void end_of_a_pipe(void)
{
    char byte;
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
    CHECK(close(ends[1]) == 0 && read(ends[0], &byte, 1) == 0); /* alarm() else */
    CHECK(close(ends[0]) == 0);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

static int forbid(unsigned number, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* As on kernels before 5.9, and where no table of its own is to be had. */
static void without_close_range(void)
{
    CHECK(forbid(SYS_close_range, ENOSYS));
    closing_everything();
    end_of_a_pipe();
    CHECK(forbid(SYS_unshare, EPERM));
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_E_UNSUPPORTED);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

/* ------------------------------------------------------------------------------------------------ signals -- */

static void signals(void)
{
    const int sent[] = {SIGUSR1, SIGTRAP, SIGRTMIN};
    sigset_t blocked, pending;
    sigfillset(&blocked);
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
        CHECK(kill(getpid(), sent[i]) == 0);
    usleep(50000);
    CHECK(sigpending(&pending) == 0);
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
        CHECK(sigismember(&pending, sent[i]) == 1);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

/* The signal that wakes it may not be had. */
static void no_signals_to_be_had(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 86400000), BID_OK);
    if (geteuid() == 0)
        CHECK(setuid(NOBODY) == 0);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, 0}) == 0);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

/* ------------------------------------------------------------------------------------ ids, capabilities -- */

static int capabilities(int change, uint32_t effective, uint32_t permitted)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{.effective = effective, .permitted = permitted}};
    return !change || syscall(SYS_capset, &head, data) == 0;
}

/* Of each line that begins so, all threads have the same; waits a while for that. */
static int threads_agree(const char *field)
{
    char line[256], first[256] = {0}, path[300];
    int same = 1, threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof line, file))
            if (strncmp(line, field, strlen(field)) == 0) {
                same &= !first[0] || strcmp(first, line) == 0;
                strcpy(first, line);
                threads++;
            }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return same && threads == 2;
}

static void check_threads_agree(void)
{
    static const char *const fields[] = {"Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (int tries = 0; tries < 400 && !threads_agree(fields[i]); tries++)
            usleep(5000);
        CHECK(threads_agree(fields[i]));
    }
}

/* A server that becomes another user keeps a capability, and uses it: libc ends the program if its threads differ. */
static void keeping_a_capability(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 20), BID_OK);
    CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    CHECK(capabilities(1, 1u << CAP_SETGID, 1u << CAP_SETGID) && setgroups(0, NULL) == 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
    check_threads_agree();
    CHECK(setuid(0) == -1 && errno == EPERM);
    CHECK(capabilities(1, 0, 0) && setgroups(0, NULL) == -1 && errno == EPERM);
    check_threads_agree();
    check_it_follows();
    bid_maps_destroy(maps);
}

/* One that gives all up, and looks whether it has. */
static void giving_all_up(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 20), BID_OK);
    for (int i = 0; i < 50; i++) /* for a while */
        CHECK(seteuid(NOBODY) == 0 && seteuid(0) == 0);
    CHECK(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    CHECK(setuid(0) == -1 && setgid(0) == -1 && setgroups(0, NULL) == -1);
    check_threads_agree();
    bid_maps_destroy(maps);
}

static void *change_ids(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
        CHECK(seteuid(NOBODY) == 0 && seteuid(0) == 0);
        usleep(100); /* libc's lock is not fair, and to start a thread takes it */
    }
    return stop;
}

/* The thread ends while ids change. */
static void changing_at_the_end(void)
{
    int stop = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, change_ids, &stop) == 0);
    for (int i = 0; i < 200; i++) {
        CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
        usleep(200);
        CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* One that only lowers its effective capabilities, as libcap-ng and setpriv do. */
static void lowering(void)
{
    CHECK_STATUS(bid_maps_follow(maps, 20), BID_OK);
    CHECK(capabilities(1, 0, 1u << CAP_SETUID) && setuid(NOBODY) == -1);
    CHECK(capabilities(1, 1u << CAP_SETUID, 1u << CAP_SETUID) && setuid(NOBODY) == 0);
    CHECK(setuid(0) == -1);
    check_threads_agree();
    bid_maps_destroy(maps);
}

/* ------------------------------------------------------------------------------------------------- children -- */

/* A child has no such thread, and ends none; nor does it touch descriptors. It may have one of its own. By any kind of
 * fork. */
static void in_a_child(int number)
{
    int status;
    CHECK_STATUS(bid_maps_follow(maps, 5), BID_OK);
    pid_t child = number % 2 ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(40);
        for (int fd = 3; fd < 64; fd++)
            dup2(1, fd);
        CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
        for (int fd = 3; fd < 64; fd++)
            CHECK(fcntl(fd, F_GETFD) == 0);
        if (number % 4 == 0) {
            close_all();
            CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
            check_it_follows();
            CHECK(dup(1) == 3);
        }
        bid_maps_destroy(maps);
        CHECK(fcntl(3, F_GETFD) == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
}

static void children(void)
{
    for (int number = 0; number < 20; number++)
        in_a_child(number);
}

/* ---------------------------------------------------------------------------------------------------- main -- */

#define RUN(test) run(test, #test)

static void run(void (*test)(void), const char *name)
{
    int status;
    make_elf(in_directory("plain"), 1, 20);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(40);
        refresh();
        test();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (status != 0)
        fprintf(stderr, "%s ended with status %#x\n", name, (unsigned)status);
    CHECK(status == 0);
}

int main(void)
{
    begin_mapping();
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    RUN(robbed);
    RUN(closing_everything);
    RUN(record_locks);
    RUN(end_of_a_pipe);
    RUN(without_close_range);
    RUN(signals);
    RUN(no_signals_to_be_had);
    RUN(children);
    if (geteuid() == 0) {
        RUN(keeping_a_capability);
        RUN(giving_all_up);
        RUN(lowering);
        RUN(changing_at_the_end);
    } else {
        printf("skipped: changes of ids, which root can make\n");
    }
    bid_maps_destroy(maps);
    remove_directory();
    return 0;
}
