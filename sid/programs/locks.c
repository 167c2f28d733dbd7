/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Holds POSIX record locks on files that it has mapped as code: a close() of any descriptor of such a file, by
 * anybody in the process, would give them up. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <sys/mman.h>

static int take(const char *path)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_SETLK, &lock) != 0)
        say("lock: %s\n", strerror(errno));
    return fd;
}

static int is_held(int fd)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid == getppid());
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

int main(void)
{
    int out = open("code", O_CREAT | O_RDWR | O_CLOEXEC, 0700), copies = 0;
    char page[4096] = {0};
    int program = take("/proc/self/exe");
    if (write(out, page, sizeof page) != sizeof page)
        return 1;
    close(out);
    int code = take("code");
    burn(20);
    for (int i = 0; i < 10; i++) {
        copies += mmap(NULL, sizeof page, PROT_READ | PROT_EXEC, MAP_PRIVATE, code, 0) != MAP_FAILED;
        burn(3);
        nap(15);
    }
    say("%d mappings; locks held: program %d, file %d\n", copies, is_held(program), is_held(code));
    return 0;
}
