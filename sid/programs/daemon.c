/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Becomes a daemon as the books say: two forks, a session of its own, every descriptor closed. Its log is a file. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void serve(int log)
{
    int ends[2];
    char bytes[32] = {0};
    dprintf(log, "log is %d, leader of its session: %d\n", log, getsid(0) == getpid());
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || write(ends[0], "request!", 8) != 8)
        dprintf(log, "socketpair: %s\n", strerror(errno));
    burn(50);
    nap(60);
    ssize_t length = read(ends[1], bytes, sizeof bytes - 1);
    dprintf(log, "descriptors %d and %d: %zd bytes: %s\n", ends[0], ends[1], length, bytes);
    pid_t worker = fork();
    if (worker == 0) {
        burn(20);
        dprintf(log, "worker: %zd written\n", write(ends[0], "reply", 5));
        _exit(0);
    }
    int status;
    dprintf(log, "worker: waited %d, status %d\n", waitpid(worker, &status, 0) == worker, status);
}

int main(void)
{
    char *folder = getcwd(NULL, 0);
    burn(20);
    if (fork() != 0)
        _exit(0);
    setsid();
    if (fork() != 0)
        _exit(0);
    umask(022);
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    int null = open("/dev/null", O_RDWR);
    int out = dup(null), err = dup(null), place = open(folder, O_PATH | O_DIRECTORY);
    int log = openat(place, "log", O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (chdir("/") != 0)
        return 1;
    dprintf(log, "numbers %d %d %d %d\n", null, out, err, place);
    serve(log);
    return 0;
}
