/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bid_maps_follow(), looking every millisecond, in a program that takes every descriptor for its own, forks, becomes
 * another user, counts what it may open and holds record locks: all is as without. And it still sees what is mapped, so
 * that a thread which merely gave up is no way to do no harm.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define DESCRIPTORS 256

static void wait_ms(int milliseconds)
{
    struct timespec rest = {.tv_nsec = milliseconds * 1000000l};
    while (nanosleep(&rest, &rest) != 0)
        ;
}

static void still_follows(void)
{
    uint64_t code = map_code(in_directory("plain"), NULL);
    for (int i = 0; i < 10000 && reason_of(code) != BID_RESOLVED; i++)
        wait_ms(1);
    check_code(code, 1, 20);
    unmap_code(code);
}

/* Each part in a process of its own, which nothing outlives. */
static void in_child(const char *name, void (*part)(void))
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(40);
        CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
        CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
        still_follows();
        part();
        CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
        bid_maps_destroy(maps);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (status != 0) {
        fprintf(stderr, "%s: status %#x\n", name, (unsigned)status);
        exit(1);
    }
}

static void pipe_is_ours(void)
{
    int ends[2];
    char bytes[32] = {0};
    CHECK(pipe2(ends, O_NONBLOCK) == 0 && ends[0] == 3 && ends[1] == 4);
    CHECK(write(ends[1], "0123456789ABCDEF", 16) == 16);
    wait_ms(30);
    CHECK(read(ends[0], bytes, sizeof bytes) == 16 && memcmp(bytes, "0123456789ABCDEF", 16) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void close_all(void)
{
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        close(fd);
}

static void closed_all(void)
{
    close_all();
    pipe_is_ours();
    still_follows();
    pipe_is_ours();
}

/* The thread may be in the midst of a look at any of these. */
static void closed_over_and_over(void)
{
    for (int round = 0; round < 300; round++) {
        int ends[2];
        char bytes[16];
        close_all();
        CHECK(pipe2(ends, O_NONBLOCK) == 0 && ends[0] == 3 && ends[1] == 4);
        for (int fd = 5; fd < 32; fd++)
            CHECK(dup2(ends[1], fd) == fd);
        CHECK(write(31, "12345678", 8) == 8);
        if (round % 16 == 0)
            wait_ms(3);
        CHECK(read(3, bytes, sizeof bytes) == 8);
    }
    close_all();
    still_follows();
}

/* Every number holds one end of two streams. */
static void duplicated_over_all(void)
{
    int ends[2];
    struct stat wanted[2], found;
    char bytes[64];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    int high[2] = {fcntl(ends[0], F_DUPFD, DESCRIPTORS), fcntl(ends[1], F_DUPFD, DESCRIPTORS)};
    CHECK(fstat(high[0], &wanted[0]) == 0 && fstat(high[1], &wanted[1]) == 0);
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        CHECK(dup2(high[fd % 2], fd) == fd);
    CHECK(write(high[0], "from the first", 14) == 14 && write(high[1], "from the second", 15) == 15);
    wait_ms(30);
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        CHECK(fstat(fd, &found) == 0 && found.st_ino == wanted[fd % 2].st_ino && fcntl(fd, F_GETFD) == 0);
    CHECK(read(high[0], bytes, sizeof bytes) == 15 && read(high[1], bytes, sizeof bytes) == 14);
    close_all();
    still_follows();
}

static int count_free(void)
{
    int fds[64], count = 0;
    while (count < 64 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0)
        count++;
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return count;
}

static void few_descriptors(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    close_all();
    limit.rlim_cur = 8;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < 200; i++)
        CHECK(count_free() == 5);
}

/* A descriptor of the thread's that is closed by somebody else, or closes another's, is seen as EBADF here. */
static void forked(void)
{
    for (int round = 0; round < 20; round++) {
        int ends[2], status;
        close_all();
        CHECK(pipe2(ends, O_NONBLOCK) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            for (int fd = 5; fd < DESCRIPTORS; fd++)
                CHECK(dup2(ends[1], fd) == fd);
            CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK); /* a thread that this process does not have */
            for (int fd = 3; fd < DESCRIPTORS; fd++)
                CHECK(fcntl(fd, F_GETFD) == 0);
            CHECK(write(100, "x", 1) == 1);
            if (round % 4 == 0) {
                close_all();
                CHECK_STATUS(bid_maps_follow(maps, 1), BID_OK);
                still_follows();
                pipe_is_ours();
                bid_maps_destroy(maps);
                pipe_is_ours();
            }
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        char byte[9];
        CHECK(read(ends[0], byte, sizeof byte) == 1 && byte[0] == 'x');
    }
}

/* A close() of any descriptor of the file, by any thread that shares the table of descriptors, gives the lock up. */
static void record_locks(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(in_directory("plain"), O_RDONLY), status;
    CHECK(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
    for (int i = 0; i < 20; i++) {
        void *base = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        CHECK(base != MAP_FAILED);
        uint64_t code = (uintptr_t)base + PAGE;
        for (int tries = 0; tries < 10000 && reason_of(code) != BID_RESOLVED; tries++)
            wait_ms(1);
        check_code(code, 1, 20);
        unmap_code(code);
        wait_ms(2);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        lock.l_type = F_WRLCK;
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK && lock.l_pid == getppid());
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 1);
}

/* As setpriv, named or tcpdump do; libc ends a program in which threads have different results. */
static void another_user(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (geteuid() != 0)
        return;
    CHECK(chmod(directory, 0755) == 0 && chmod(in_directory("plain"), 0755) == 0);
    data[0].effective = data[0].permitted = 1u << CAP_SETGID;
    CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
    CHECK(setresuid(65534, 65534, 65534) == 0);
    CHECK(syscall(SYS_capset, &head, data) == 0);
    CHECK(setgroups(0, NULL) == 0);
    CHECK(setresgid(65534, 65534, 65534) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* /proc/self is the new user's again */
    still_follows();
}

/* Signals are for the program's own threads. */
static void signals(void)
{
    sigset_t all;
    int number;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGTRAP) == 0);
        wait_ms(2);
        sigset_t pending;
        CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGTRAP));
        CHECK(sigwait(&pending, &number) == 0 && sigwait(&pending, &number) == 0);
    }
}

/* An argument names the only part to run. */
int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"all closed", closed_all},
        {"closed over and over", closed_over_and_over},
        {"duplicated over all", duplicated_over_all},
        {"few descriptors", few_descriptors},
        {"forked", forked},
        {"record locks", record_locks},
        {"another user", another_user},
        {"signals", signals},
    };
    CHECK(chdir("/tmp") == 0); /* where another user may look, too */
    CHECK(mkdtemp(directory));
    make_elf(in_directory("plain"), 1, 20);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (count < 2 || strcmp(arguments[1], parts[i].name) == 0)
            in_child(parts[i].name, parts[i].run);
    remove_directory();
    return 0;
}
