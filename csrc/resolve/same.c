/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which file is it? The device of stat() need not be the one of /proc/PID/maps (btrfs, overlayfs). So where they differ
 *                                                                                                  the file is mapped
 *                                                                                                  once more, and
 *                                                                                                  compared as
 *                                                                                                  /proc/self/maps
 *                                                                                                  shows it.
 */
#define _GNU_SOURCE
#include "same.h"

#include "bid/status.h"

#include "procmaps.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define VIEW 4096

/* Whether maps shows the memory at `address` as this file. */
static int shown_as(uint64_t address, uint64_t device, uint64_t inode)
{
    struct bid_maps_text text;
    struct bid_maps_line line;
    int same = 0;
    if (bid_maps_text_read(&text) != BID_OK)
        return 0;
    for (size_t position = 0; bid_maps_text_next(&text, &position, &line);)
        if (line.start <= address && address < line.end)
            same = line.device == device && line.inode == inode;
    bid_maps_text_free(&text);
    return same;
}

static int same_device(const struct bid_descriptor *file, uint64_t device)
{
    return ((uint64_t)major(file->file.st_dev) << 32 | minor(file->file.st_dev)) == device;
}

int bid_is_mapped_file(const struct bid_descriptor *file, uint64_t device, uint64_t inode)
{
    if (!S_ISREG(file->file.st_mode) || file->file.st_ino != inode)
        return 0;
    if (same_device(file, device))
        return 1;
    void *view = mmap(NULL, VIEW, PROT_READ, MAP_PRIVATE, file->number, 0);
    if (view == MAP_FAILED)
        return 0;
    int same = shown_as((uintptr_t)view, device, inode);
    munmap(view, VIEW);
    return same;
}

int bid_is_ambiguous(const struct bid_descriptor *file, uint64_t device)
{
    struct statfs system;
    return !same_device(file, device) || fstatfs(file->number, &system) != 0 || system.f_type == OVERLAYFS_SUPER_MAGIC;
}

int bid_generation_of(int fd, uint32_t *generation)
{
    unsigned int number[2] = {0, 0}; /* the request says long, file systems write an int */
    int known = ioctl(fd, FS_IOC_GETVERSION, number) == 0;
    *generation = known ? number[0] : 0;
    return known;
}
