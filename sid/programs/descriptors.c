/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs that take every descriptor for their own. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Numbers that somebody else may still believe to be his: whoever reads, writes or closes them is seen here. */
static void use_pipe(const char *who)
{
    int ends[2];
    char bytes[64] = {0};
    if (pipe(ends) != 0 || write(ends[1], "0123456789ABCDEF", 16) != 16)
        say("%s: pipe: %s\n", who, strerror(errno));
    burn(30);
    nap(60);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ssize_t length = read(ends[0], bytes, sizeof bytes - 1);
    say("%s: descriptors %d and %d, 16 bytes written, %zd read: %s\n", who, ends[0], ends[1], length, bytes);
    pid_t child = fork();
    if (child == 0) {
        burn(10);
        _exit(write(ends[1], "x", 1) == 1 ? 0 : errno);
    }
    say_end(who, child);
    close(ends[0]);
    close(ends[1]);
}

static int part_close(char **arguments)
{
    burn(20);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    use_pipe("after close()");
    return 0;
}

static int part_range(char **arguments)
{
    burn(20);
    if (syscall(SYS_close_range, 3, ~0u, 0) != 0)
        return 1;
    use_pipe("after close_range()");
    return 0;
}

/* A stream of its own on every number from 3 to 255. */
static int part_dup(char **arguments)
{
    int ends[2], wrong = 0;
    struct stat ours, found;
    char bytes[64];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return 1;
    int first = fcntl(ends[0], F_DUPFD, 300), second = fcntl(ends[1], F_DUPFD, 300);
    for (int fd = 3; fd < 256; fd++)
        dup2(fd % 2 ? first : second, fd);
    ssize_t written = write(first, "from the first", 14) + write(second, "from the second", 15);
    burn(50);
    nap(60);
    pid_t child = fork();
    for (int fd = 3; fd < 256; fd++)
        wrong += fstat(fd % 2 ? first : second, &ours) != 0 || fstat(fd, &found) != 0 || ours.st_ino != found.st_ino ||
                 fcntl(fd, F_GETFD) != 0;
    say("%s: %d of 253 are something else\n", child ? "parent" : "child", wrong);
    if (child == 0)
        _exit(wrong);
    say_end("child", child);
    ssize_t length = read(first, bytes, sizeof bytes);
    say("%zd bytes written, read %zd", written, length);
    length = read(second, bytes, sizeof bytes);
    say(" and %zd\n", length);
    return 0;
}

/* As a server that starts workers: everything is closed and taken again, over and over, with children in between. */
static int part_loop(char **arguments)
{
    int wrong = 0;
    for (int round = 0; round < 60; round++) {
        int ends[2];
        char bytes[16] = {0};
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        wrong += pipe(ends) != 0 || ends[0] != 3 || ends[1] != 4;
        for (int fd = 5; fd < 32; fd++)
            dup2(ends[1], fd);
        wrong += write(ends[1], "12345678", 8) != 8;
        if (round % 6 == 0) {
            pid_t child = fork();
            if (child == 0)
                _exit(write(31, "!", 1) != 1);
            int status;
            wrong += waitpid(child, &status, 0) != child || status != 0 || read(3, bytes, 9) != 9;
        } else {
            burn(1);
            wrong += read(3, bytes, sizeof bytes) != 8;
        }
    }
    say("%d things went wrong\n", wrong);
    return 0;
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

/* Started with RLIMIT_NOFILE 8, all of which are its own: it opens nothing before. */
static int part_few(char **arguments)
{
    struct rlimit none = {3, 3};
    say("%d are free\n", count_free());
    burn(30);
    nap(30);
    say("%d are free\n", count_free());
    pid_t child = fork();
    if (child == 0)
        _exit(count_free());
    say_end("child", child);
    setrlimit(RLIMIT_NOFILE, &none);
    say("%d are free\n", count_free());
    burn(30);
    child = fork();
    if (child == 0)
        _exit(count_free());
    say_end("child", child);
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {{"close", part_close}, {"range", part_range}, {"dup", part_dup},
                                        {"loop", part_loop},   {"few", part_few},     {0}};
    return run_part(parts, arguments);
}
