/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which file is it, and is it still as it was? An inode's number alone does not say: ext4 gives the number of a removed
 * file to the next one.
 *
 * An identity has the device, inode number, size and time of the last change (ctime) of stat(), and the file handle of
 * name_to_handle_at(), which has the inode's generation. Neither call opens the file, so a program that watches it by
 * inotify sees nothing. Where there are no handles (some network file systems; a seccomp filter) the others must be
 * enough.
 *
 * A change of a file changes its ctime, but a clock that ticks every few milliseconds may give two changes one time. So
 * an identity is settled only if the clock has moved on since the change. An identity that is not settled never counts
 * as the same.
 */
#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200 /* Linux 6.5: a handle to compare only, which more file systems give */
#endif

#define NANOSECONDS 1000000000ll
#define TICK (20 * 1000000ll)         /* two ticks of the slowest kernel */
#define COARSE_TICK (2 * NANOSECONDS) /* of a file system that keeps whole seconds, or every second one */

union handle {
    struct file_handle head;
    char room[sizeof(struct file_handle) + BID_HANDLE_MAX];
};

static void identify_handle(struct bid_identity *identity, int directory, const char *path, int flags)
{
    union handle handle;
    int mount;
    memset(&handle, 0, sizeof handle);
    handle.head.handle_bytes = BID_HANDLE_MAX;
    if (name_to_handle_at(directory, path, &handle.head, &mount, flags) != 0) {
        handle.head.handle_bytes = BID_HANDLE_MAX;
        if (errno != EOPNOTSUPP || name_to_handle_at(directory, path, &handle.head, &mount, flags | AT_HANDLE_FID) != 0)
            return;
    }
    identity->handle_type = handle.head.handle_type;
    identity->handle_bytes = handle.head.handle_bytes;
    memcpy(identity->handle, handle.head.f_handle, handle.head.handle_bytes);
}

static int is_settled(const struct timespec *change)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* what file systems stamp changes with */
    long long passed = (now.tv_sec - change->tv_sec) * NANOSECONDS + now.tv_nsec - change->tv_nsec;
    return passed > (change->tv_nsec ? TICK : COARSE_TICK);
}

static void identify(struct bid_identity *identity, const struct stat *file)
{
    identity->known = S_ISREG(file->st_mode);
    identity->device = file->st_dev;
    identity->number = file->st_ino;
    identity->size = (uint64_t)file->st_size;
    identity->change_seconds = file->st_ctim.tv_sec;
    identity->change_nanoseconds = file->st_ctim.tv_nsec;
    identity->settled = is_settled(&file->st_ctim);
}

void bid_identity_of_path(struct bid_identity *identity, const char *path)
{
    struct stat file;
    memset(identity, 0, sizeof *identity);
    if (path[0] != '/' || stat(path, &file) != 0)
        return;
    identify(identity, &file);
    identify_handle(identity, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

void bid_identity_of_descriptor(struct bid_identity *identity, int fd)
{
    struct stat file;
    memset(identity, 0, sizeof *identity);
    if (fstat(fd, &file) != 0)
        return;
    identify(identity, &file);
    identify_handle(identity, fd, "", AT_EMPTY_PATH);
}

int bid_identity_equal(const struct bid_identity *a, const struct bid_identity *b)
{
    return a->known && b->known && a->device == b->device && a->number == b->number && a->size == b->size &&
           a->change_seconds == b->change_seconds && a->change_nanoseconds == b->change_nanoseconds &&
           a->handle_type == b->handle_type && a->handle_bytes == b->handle_bytes &&
           memcmp(a->handle, b->handle, a->handle_bytes) == 0;
}
