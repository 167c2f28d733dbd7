/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The build ID of a mapped file.
 *
 * From the file itself, if its path still leads to it: same inode number, and same device. The device of stat() need
 * not be the one of /proc/self/maps (btrfs, overlayfs), so where they differ the file is mapped once more, to see what
 * maps says of it. A file that was deleted, replaced or is out of sight is read from the image in memory, through
 * /proc/self/mem, where what is not there gives an error and no signal. The vDSO has no file: an image as well.
 */
#define _GNU_SOURCE
#include "resolve.h"

#include "../note/scan.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define VIEW 4096

/* --------------------------------------------------------------------------------------------- identity -- */

/* Whether maps shows the memory at `address` as this file. */
static int shown_as(uint64_t address, const struct bid_inode *inode)
{
    struct bid_maps_text text;
    struct bid_maps_line line;
    int same = 0;
    if (bid_maps_text_read(&text) != BID_OK)
        return 0;
    for (size_t position = 0; bid_maps_text_next(&text, &position, &line);)
        if (line.start <= address && address < line.end)
            same = line.device == inode->device && line.inode == inode->number;
    bid_maps_text_free(&text);
    return same;
}

static int is_file(int fd, const struct stat *status, const struct bid_inode *inode)
{
    uint64_t device = (uint64_t)major(status->st_dev) << 32 | minor(status->st_dev);
    if (status->st_ino != inode->number)
        return 0;
    if (device == inode->device)
        return 1;
    void *view = mmap(NULL, VIEW, PROT_READ, MAP_PRIVATE, fd, 0);
    if (view == MAP_FAILED)
        return 0;
    int same = shown_as((uintptr_t)view, inode);
    munmap(view, VIEW);
    return same;
}

/* A descriptor, or -1. To open a device or a pipe may have effects, so its type is asked first. */
static int open_file(const struct bid_mapped_file *file)
{
    struct stat status;
    if (file->path[0] != '/' || stat(file->path, &status) != 0 || !S_ISREG(status.st_mode))
        return -1;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_file(fd, &status, &file->inode))
        return fd;
    close(fd);
    return -1;
}

/* --------------------------------------------------------------------------------------------- build ID -- */

static uint32_t generation_of(int fd)
{
    unsigned int number[2] = {0, 0}; /* the request says long, file systems write an int */
    return ioctl(fd, FS_IOC_GETVERSION, number) == 0 ? number[0] : 0;
}

static void take(struct bid_mapped_file *file, const struct bid_elf *elf, int status)
{
    if (status == BID_ELF_NO_BUILD_ID || status == BID_ELF_NOT_ELF || status == BID_ELF_LONG_ID)
        file->status = BID_NO_BUILD_ID;
    if (status != BID_ELF_OK)
        return;
    file->status = BID_OK;
    file->id_offset = elf->id_offset;
    file->id.length = elf->id_length;
    memcpy(file->id.bytes, elf->id, elf->id_length);
}

void bid_mapped_file_read(struct bid_mapped_file *file, const struct bid_range *range)
{
    struct bid_elf elf;
    file->status = BID_ABSENT;
    if (!file->inode.number) { /* the vDSO */
        take(file, &elf, bid_elf_read_memory(&elf, range->start));
        return;
    }
    int fd = open_file(file);
    if (fd >= 0) {
        file->inode.generation = generation_of(fd);
        take(file, &elf, bid_elf_read_fd(&elf, BID_ELF_FILE, fd));
        close(fd);
    } else if (file->header) {
        take(file, &elf, bid_elf_read_memory(&elf, file->header));
    }
}
