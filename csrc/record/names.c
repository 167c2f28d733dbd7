/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Follows no symbolic link of the process: seen from here, it would lead elsewhere. */
static int bid_names_open(const struct bid_names_request *request)
{
    int directory = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int root = open(request->root, directory);
    int folder = root < 0 ? -1 : openat(root, "tmp", directory | O_NOFOLLOW);
    int file = folder < 0 ? -1 : openat(folder, request->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(root);
    close(folder);
    return file;
}

/* In /tmp anybody may have put it there, and another process with this number may have left it. */
static int bid_names_are_believed(const struct bid_names_request *request, const struct stat *status, int64_t mtime_ns)
{
    int owned = 0;
    for (unsigned i = 0; i < BID_NAMES_OWNERS; i++)
        owned |= status->st_uid == request->owners[i];
    return owned && S_ISREG(status->st_mode) && mtime_ns >= request->since_ns;
}

/* Whether the file is to be read. */
static int bid_names_are_wanted(int file, const struct bid_names_request *request, struct bid_names_state *state)
{
    const struct bid_names_state *known = &request->known;
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        return 0;
    *state = (struct bid_names_state){
        .inode = status.st_ino,
        .size = (uint64_t)status.st_size,
        .mtime_ns = status.st_mtim.tv_sec * 1000000000ll + status.st_mtim.tv_nsec,
    };
    if (state->inode == known->inode && state->size == known->size && state->mtime_ns == known->mtime_ns)
        return 0;
    return state->size <= request->most && bid_names_are_believed(request, &status, state->mtime_ns);
}

/* Returns whether all of it was sent: it may grow meanwhile, but no more than `most` is read. */
static int bid_names_send(int socket, int file, uint64_t most)
{
    static char message[BID_NAMES_MESSAGE] = "D";
    for (uint64_t at = 0; at < most;) {
        uint64_t room = most - at < sizeof message - 1 ? most - at : sizeof message - 1;
        ssize_t length = pread(file, message + 1, room, (off_t)at);
        if (length <= 0)
            return length == 0;
        if (send(socket, message, (size_t)length + 1, MSG_NOSIGNAL) < 0)
            return 0;
        at += (uint64_t)length;
    }
    return 1;
}

void bid_names_read(int socket, const struct bid_names_request *request)
{
    struct bid_names_answer answer = {.kind = 'E'};
    int file = bid_names_open(request);
    if (bid_names_are_wanted(file, request, &answer.state))
        answer.found = (uint8_t)bid_names_send(socket, file, request->most);
    if (file >= 0)
        close(file);
    send(socket, &answer, sizeof answer, MSG_NOSIGNAL);
}
