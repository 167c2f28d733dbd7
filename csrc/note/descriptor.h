/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Descriptors in the program's table. Another thread of the program may close every number, or call dup2() over it, at
 * any time. So these functions read by pread() only, which takes nothing out of a pipe and leaves every file's
 * position. Before they believe what they have read, and before they close the number, they check that it still is of
 * the file that was opened. The risk that remains is the time between that check and close(): some hundred nanoseconds.
 */
#ifndef BID_DESCRIPTOR_H
#define BID_DESCRIPTOR_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct bid_descriptor {
    int number; /* -1: none */
    struct stat file;
};

static inline int bid_descriptor_is_ours(const struct bid_descriptor *descriptor)
{
    struct stat now;
    return fstat(descriptor->number, &now) == 0 && now.st_dev == descriptor->file.st_dev &&
           now.st_ino == descriptor->file.st_ino;
}

/* Opens with these flags of open(). Returns whether it could; if not, errno says why. */
static inline int bid_descriptor_open_as(struct bid_descriptor *descriptor, const char *path, int flags)
{
    descriptor->number = open(path, flags | O_CLOEXEC);
    if (descriptor->number >= 0 && fstat(descriptor->number, &descriptor->file) != 0)
        descriptor->number = -1; /* closed meanwhile */
    return descriptor->number >= 0;
}

/* Opens for reading, in the same way. */
static inline int bid_descriptor_open(struct bid_descriptor *descriptor, const char *path)
{
    return bid_descriptor_open_as(descriptor, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
}

/* Returns whether it was ours to the end. Keeps errno. */
static inline int bid_descriptor_close(struct bid_descriptor *descriptor)
{
    int error = errno, ours = bid_descriptor_is_ours(descriptor);
    if (ours)
        close(descriptor->number);
    descriptor->number = -1;
    errno = error;
    return ours;
}

#endif
