/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which mappings are the same as the last snapshot's, with a /proc/self/maps of our own making: every
 * difference that an answer could show makes a new snapshot, also where somebody has chosen the names of files
 * so that their digests agree.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
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
                            mapping->device * 7 + mapping->inode * 11 + mapping->header * 13;
    for (const char *c = mapping->path; *c; c++)
        *(uint64_t *)argument = *(uint64_t *)argument * 31 + (uint8_t)*c;
    return 0;
}

static int count(void *argument, const struct bid_mapping *mapping)
{
    (void)mapping;
    ++*(uint64_t *)argument;
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

/* ------------------------------------------------------------------------------------- what the lines say -- */

struct shown {
    struct bid_mapping mappings[8];
    char paths[8][32];
    uint64_t n;
};

static int copy(void *argument, const struct bid_mapping *mapping)
{
    struct shown *shown = argument;
    CHECK(shown->n < 8);
    snprintf(shown->paths[shown->n], sizeof shown->paths[0], "%s", mapping->path);
    shown->mappings[shown->n++] = *mapping;
    return 0;
}

static void check_shown(const struct shown *shown, uint64_t i, const struct bid_mapping *expected)
{
    const struct bid_mapping *found = &shown->mappings[i];
    CHECK(found->start == expected->start && found->end == expected->end && found->offset == expected->offset);
    CHECK(found->device == expected->device && found->inode == expected->inode && found->header == expected->header);
    CHECK(found->fresh == expected->fresh && strcmp(shown->paths[i], expected->path) == 0);
}

/* Names, headers and devices; two files of one inode number on two devices; ranges that overlap,
 * as those of two reads may. */
static void parsed(void)
{
    static const struct bid_mapping expected[] = {
        {0x20000, 0x30000, 0x10000, 1, 5, 0x10000, 0, 0, 0, 1, "/a\nb", NULL},
        {0x30000, 0x40000, 0x20000, 1, 5, 0x10000, 0, 0, 0, 1, "/a\nb", NULL},
        {0x40000, 0x50000, 0x20000, 2ull << 32 | 1, 5, 0, 0, 0, 0, 1, "/a\nb", NULL},
        {0x60000, 0x70000, 0, 0, 0, 0, 0, 0, 0, 1, "", NULL},
    };
    struct shown shown = {.n = 0};
    uint64_t number, before;
    CHECK_STATUS(bid_maps_iterate(maps, copy, &shown, &before), BID_OK);
    refresh("10000-20000 r--p 00000000 00:01 5    /a\\012b\n"
            "20000-30000 r-xp 00010000 00:01 5    /a\\012b\n"
            "28000-38000 r-xp 00010000 00:01 7    /overlaps\n"
            "30000-40000 r-xp 00020000 00:01 5    /a\\012b\n"
            "40000-50000 r-xp 00020000 02:01 5    /a\\012b\n"
            "60000-70000 r-xp 00000000 00:00 0 \n",
            BID_OK);
    shown.n = 0;
    CHECK_STATUS(bid_maps_iterate(maps, copy, &shown, &number), BID_OK);
    CHECK(shown.n == 4 && number == before + 1);
    for (uint64_t i = 0; i < 4; i++)
        check_shown(&shown, i, &expected[i]);
}

/* A file that was read once keeps what is known of it, and only what is new is fresh. */
static void inherited(void)
{
    static char before[256], after[512];
    struct shown first = {.n = 0}, second = {.n = 0};
    struct stat status;
    const char *path = "/proc/self/exe";
    CHECK(stat(path, &status) == 0);
    snprintf(before, sizeof before, "10000-20000 r-xp 00001000 %x:%x %lu %s\n", major(status.st_dev),
             minor(status.st_dev), (unsigned long)status.st_ino, path);
    snprintf(after, sizeof after, "%s30000-40000 r-xp 00000000 00:00 0\n", before);
    refresh(before, BID_OK);
    CHECK_STATUS(bid_maps_iterate(maps, copy, &first, NULL), BID_OK);
    CHECK(first.n == 1 && first.mappings[0].status == BID_OK && first.mappings[0].id_offset && first.mappings[0].fresh);
    refresh(after, BID_OK);
    CHECK_STATUS(bid_maps_iterate(maps, copy, &second, NULL), BID_OK);
    CHECK(second.n == 2 && !second.mappings[0].fresh && second.mappings[1].fresh);
    CHECK(second.mappings[0].status == BID_OK && second.mappings[0].id_offset == first.mappings[0].id_offset);
    CHECK(second.mappings[0].generation == first.mappings[0].generation);
}

/* More text than is mapped for it at first. */
static void long_text(void)
{
    enum { LINES = 5000 };
    char *lines = malloc(LINES * 64), *end = lines;
    uint64_t number = 0;
    for (unsigned i = 0; i < LINES; i++)
        end += sprintf(end, "%x-%x r-xp 00000000 00:00 0 [%u]\n", 0x10000 + i * 0x1000, 0x11000 + i * 0x1000, i);
    refresh(lines, BID_OK);
    CHECK_STATUS(bid_maps_iterate(maps, count, &number, NULL), BID_OK);
    CHECK(number == LINES);
    refresh("", BID_OK);
    free(lines);
}

/* Neither descriptors nor memory are left behind. (AddressSanitizer has memory of its own, which grows.) */
static uint64_t used(const char *command)
{
    uint64_t n = 0;
    if (strcmp(command, "fd") == 0) {
        for (int fd = 0; fd < 256; fd++)
            n += fcntl(fd, F_GETFD) != -1;
        return n;
    }
    unsigned long pages = 0;
#ifndef __SANITIZE_ADDRESS__
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
#endif
    return pages;
}

static int refresh_inside(void *argument, const struct bid_mapping *mapping)
{
    (void)argument, (void)mapping;
    refresh("", BID_OK);
    return 1;
}

static void a_life(void)
{
    CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
    inherited();
    CHECK(bid_maps_iterate(maps, refresh_inside, NULL, NULL) == 1 && bid_maps_waiting(maps));
    long_text();
    CHECK_STATUS(bid_maps_follow(maps, 1000), BID_OK);
    CHECK_STATUS(bid_maps_follow(maps, 0), BID_OK);
    inherited();
    CHECK(bid_maps_iterate(maps, refresh_inside, NULL, NULL) == 1 && bid_maps_waiting(maps));
    bid_maps_destroy(maps);
}

static void leaves_nothing(void)
{
    for (int i = 0; i < 3; i++)
        a_life();
    uint64_t descriptors = used("fd"), memory = used("memory");
    for (int i = 0; i < 5; i++)
        a_life();
    CHECK(used("fd") == descriptors && used("memory") == memory);
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
    /* The beginning of the file, which need not be code. */
    refresh("8000-9000 r--p 00000000 00:01 5 /a\n" LINE, BID_OK);
    refresh("8000-9000 r--p 00000000 00:01 5 /a\n" LINE, BID_EXISTS);
    refresh("9000-a000 r--p 00000000 00:01 5 /a\n" LINE, BID_OK);
    refresh(LINE, BID_OK);
    /* FNV-1a of 64 bits is the same for these two, found in no time. */
    refresh("10000-20000 r-xp 00001000 00:01 5 /OZa48lAYJCa2pvY8rbGR\n", BID_OK);
    refresh("10000-20000 r-xp 00001000 00:01 5 /L5cJxSCdJA_qQS983bHW\n", BID_OK);
    parsed();
    bid_maps_destroy(maps);
    leaves_nothing();
    return 0;
}
