/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The keeper and its readers. They are copies of a process that may have other threads, and whatever these held is held
 * for ever here: so they call nothing but system calls and the parser of ELF files, as a signal handler would.
 */
#define _GNU_SOURCE
#include "reader.h"

#include "bid/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BID_OWN_SOCKET 0                     /* the descriptor that a keeper or a reader has */
#define BID_OWN_PLACE_LINK "/proc/self/fd/1" /* the one that it gets next */

/* ------------------------------------------------------------------------------------------- a reader -- */

static void bid_file_name(char *path, size_t room, const char *link)
{
    static const char deleted[] = " (deleted)";
    struct stat status;
    ssize_t length = readlink(link, path, room - 1);
    path[length < 0 ? 0 : length] = '\0';
    if (length < (ssize_t)sizeof deleted)
        return;
    char *end = path + length - (sizeof deleted - 1);
    if (strcmp(end, deleted) == 0 && lstat(path, &status) != 0)
        *end = '\0';
}

static int bid_file_is_regular(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Opens the file of a mapping, for reading. To open a device may have effects: of what is no regular file the
 * descriptor is good for fstat() alone. A reader has no other descriptor than its socket, so the next one is 1. */
static int bid_file_open(const char *link)
{
    int place = open(link, O_PATH | O_CLOEXEC);
    if (place < 0 || !bid_file_is_regular(place))
        return place;
    int fd = open(BID_OWN_PLACE_LINK, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = errno;
    close(place);
    errno = error;
    return fd;
}

/* Whether an open file is in the state that was asked for. What is read of another would be another's build ID. */
static int bid_file_is_still(int fd, const struct bid_file_state *state)
{
    struct stat now;
    return fstat(fd, &now) == 0 && (uint64_t)now.st_size == state->size && now.st_mtim.tv_sec == state->mtime &&
           (uint32_t)now.st_mtim.tv_nsec == state->mtime_ns;
}

static void bid_file_read(const struct bid_read_request *request, struct bid_read_answer *answer)
{
    struct bid_elf elf = {0};
    struct timespec used;
    int fd = bid_file_open(request->link);
    answer->status = BID_ELF_E_IO;
    answer->error = fd < 0 ? errno : 0;
    answer->path[0] = '\0';
    if (fd >= 0) {
        answer->status = bid_file_is_regular(fd) ? bid_elf_read_fd(&elf, BID_ELF_FILE, fd) : BID_ELF_NOT_ELF;
        answer->error = answer->status == BID_ELF_E_IO ? errno : 0;
        answer->same = bid_file_is_still(fd, &request->state); /* after it was read */
        bid_file_name(answer->path, sizeof answer->path, request->link);
        close(fd);
    }
    answer->id_length = answer->status == BID_ELF_OK ? elf.id_length : 0;
    answer->id_offset = elf.id_offset;
    memcpy(answer->id, elf.id, sizeof answer->id);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    answer->cpu_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

_Static_assert(sizeof(struct bid_read_request) != sizeof(struct bid_names_request), "readers tell them apart");

static _Noreturn void bid_reader_run(void)
{
    union {
        struct bid_read_request file;
        struct bid_names_request names;
    } request;
    struct bid_read_answer answer = {0};
    ssize_t length;
    while ((length = recv(BID_OWN_SOCKET, &request, sizeof request, 0)) > 0) {
        if (length == sizeof request.names) {
            bid_names_read(BID_OWN_SOCKET, &request.names);
        } else if (length == sizeof request.file) {
            bid_file_read(&request.file, &answer);
            send(BID_OWN_SOCKET, &answer, offsetof(struct bid_read_answer, path) + strlen(answer.path) + 1,
                 MSG_NOSIGNAL);
        }
    }
    _exit(0);
}

/* ----------------------------------------------------------------------------------------- the keeper -- */

/* The bare call: fork() would run what others have registered for it, and wait for locks of this process. */
static pid_t bid_fork(unsigned long signal)
{
    return (pid_t)syscall(SYS_clone, signal, NULL, NULL, NULL, 0);
}

/* Keeps this descriptor alone: no pipe, no program and no map of the recorder is to live as long as a reader. */
static void bid_keep_only(int fd)
{
    if (fd != BID_OWN_SOCKET)
        dup3(fd, BID_OWN_SOCKET, O_CLOEXEC);
    syscall(SYS_close_range, BID_OWN_SOCKET + 1, ~0u, 0);
}

/* Waits for the next socket that a reader is to have; -1: the recorder has gone. */
static int bid_keeper_wait(void)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    int fd = -1;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    if (recvmsg(BID_OWN_SOCKET, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* The sockets of the readers are closed as well. Those that do not wait for a file system end at once: they do so as
 * children of this process, for not every init waits for orphans. */
static void bid_keeper_finish(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 100 && waitpid(-1, NULL, WNOHANG) == 0; i++)
        nanosleep(&pause, NULL);
}

static _Noreturn void bid_keeper_run(int control)
{
    pid_t keeper = getpid();
    int fd;
    bid_keep_only(control);
    prctl(PR_SET_NAME, "bid-keeper");
    if (chdir("/") != 0 || signal(SIGCHLD, SIG_IGN) == SIG_ERR) /* readers leave no zombies */
        _exit(1);
    while ((fd = bid_keeper_wait()) >= 0) {
        if (bid_fork(SIGCHLD) == 0) {
            bid_keep_only(fd);
            prctl(PR_SET_NAME, "bid-reader");
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == keeper)
                bid_reader_run();
            _exit(0);
        }
        close(fd);
    }
    bid_keeper_finish();
    _exit(0);
}

int bid_keeper_open(struct bid_keeper *keeper)
{
    int ends[2];
    sigset_t all, before;
    *keeper = (struct bid_keeper){.control = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -1;
    sigfillset(&all); /* the handlers of this process are not to run in it, nor is Ctrl-C to end it */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = bid_fork(0);
    if (pid == 0)
        bid_keeper_run(ends[1]);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    *keeper = (struct bid_keeper){.control = ends[0], .pid = pid};
    return 0;
}

void bid_keeper_close(struct bid_keeper *keeper)
{
    if (keeper->control < 0)
        return;
    close(keeper->control);
    while (waitpid(keeper->pid, NULL, __WCLONE) < 0 && errno == EINTR) /* at once: it waits for that socket alone */
        ;
    keeper->control = -1;
}

int bid_reader_open(const struct bid_keeper *keeper)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    int ends[2];
    char byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    int sent = sendmsg(keeper->control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1, error = errno;
    close(ends[1]);
    if (sent)
        return ends[0];
    close(ends[0]);
    errno = error;
    return -1;
}
