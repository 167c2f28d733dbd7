/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which mappings are the same as the last snapshot's, with a /proc/self/maps of our own making: every difference that an
 * answer could show makes a new snapshot, also where somebody has chosen the names of files so that their digests agree.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bid_maps *maps;
static const char *text; /* what /proc/self/maps says */

/* In the place of libc's. */
int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (strcmp(path, "/proc/self/maps") != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    int fd = memfd_create("maps", MFD_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    return fd;
}

static int visit(void *argument, const struct bid_mapping *mapping)
{
    *(uint64_t *)argument = *(uint64_t *)argument * 31 + mapping->start + mapping->end * 3 + mapping->offset * 5 +
                            mapping->device * 7 + mapping->inode * 11;
    for (const char *c = mapping->path; *c; c++)
        *(uint64_t *)argument = *(uint64_t *)argument * 31 + (uint8_t)*c;
    return 0;
}

/* All that a visitor is shown. */
static uint64_t shown(void)
{
    uint64_t sum = 0;
    CHECK_STATUS(bid_maps_iterate(maps, visit, &sum, NULL), BID_OK);
    return sum;
}

static void refresh(const char *new_text, int expected)
{
    uint64_t before = shown(), number = bid_maps_published(maps);
    text = new_text;
    CHECK_STATUS(bid_maps_refresh(maps), expected);
    CHECK(bid_maps_published(maps) == number + (expected == BID_OK));
    CHECK((shown() == before) == (expected == BID_EXISTS));
}

#define LINE "10000-20000 r-xp 00001000 00:01 5 /a\n"
#define NEXT "30000-40000 r-xp 00001000 00:01 5 /a\n"

int main(void)
{
    static const char *const others[] = {
        "11000-20000 r-xp 00001000 00:01 5 /a\n",
        "10000-21000 r-xp 00001000 00:01 5 /a\n",
        "10000-20000 r-xp 00002000 00:01 5 /a\n",
        "10000-20000 r-xp 00001000 01:01 5 /a\n",
        "10000-20000 r-xp 00001000 00:01 6 /a\n",
        "10000-20000 r-xp 00001000 00:01 5 /b\n",
        "10000-20000 r-xp 00001000 00:01 5 /a (deleted)\n",
        "10000-20000 r-xp 00000000 00:00 0\n",
        "10000-20000 r-xp 00000000 00:00 0 [name]\n",
        LINE NEXT,
        NEXT,
        "",
    };
    CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        refresh(LINE, BID_OK);
        refresh(LINE "50000-60000 rw-p 00000000 00:01 5 /data\n", BID_EXISTS);
        refresh(others[i], BID_OK);
        refresh(others[i], BID_EXISTS);
    }
    /* FNV-1a of 64 bits is the same for these two, found in no time. */
    refresh("10000-20000 r-xp 00001000 00:01 5 /OZa48lAYJCa2pvY8rbGR\n", BID_OK);
    refresh("10000-20000 r-xp 00001000 00:01 5 /L5cJxSCdJA_qQS983bHW\n", BID_OK);
    bid_maps_destroy(maps);
    return 0;
}
