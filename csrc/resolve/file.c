/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The build ID of a mapped file.
 *
 * It is read from the file itself. /proc/self/map_files leads to the file behind a mapping and to no other, but needs a
 * capability. Without it the file is opened by its path, if that still leads to it: same inode number, and same device.
 * The device of stat() need not be the one of /proc/self/maps (btrfs, overlayfs). So where they differ the file is
 * mapped once more, to see what maps says of it. A file that was deleted or replaced, or is out of sight, is read from
 * the image in memory, through /proc/self/mem: missing memory gives an error there, and no signal. The vDSO has no
 * file; it is read as an image, too.
 *
 * Number and device do not name one file everywhere; there the image in memory comes first. On btrfs files of two
 * subvolumes look the same in maps. On overlayfs the path of a file that was copied up leads to the copy, while the
 * original stays mapped.
 *
 * A file that changes while it is read is read again. A file that never stops changing is not believed.
 */
#define _GNU_SOURCE
#include "resolve.h"

#include "../note/descriptor.h"
#include "../note/scan.h"
#include "same.h"

#include <stdio.h>
#include <string.h>

#define READ_TRIES 4 /* to read a file that changes meanwhile */

/* ------------------------------------------------------------------------------------------------ places -- */

#define LINK_SIZE 64

static void link_of(char link[LINK_SIZE], const struct bid_range *range)
{
    snprintf(link, LINK_SIZE, "/proc/self/map_files/%llx-%llx", (unsigned long long)range->start,
             (unsigned long long)range->end);
}

int bid_mapped_file_unchanged(const struct bid_mapped_file *file, const struct bid_range *range)
{
    char link[LINK_SIZE];
    struct bid_identity now;
    if (!file->inode.number) /* the vDSO */
        return 1;
    if (!file->identity.known || !file->identity.settled)
        return 0;
    link_of(link, range);
    bid_identity_of_path(&now, link);
    if (!now.known)
        bid_identity_of_path(&now, file->path);
    return bid_identity_equal(&now, &file->identity);
}

/* To open a device or a pipe may have effects, so its type is asked first. */
static int open_mapped(struct bid_descriptor *descriptor, const char *path)
{
    struct stat status;
    if (path[0] != '/' || stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    return bid_descriptor_open(descriptor, path);
}

/* --------------------------------------------------------------------------------------------- build ID -- */

void bid_mapped_file_take(struct bid_mapped_file *file, const struct bid_elf *elf, int status)
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

static void forget(struct bid_mapped_file *file)
{
    file->status = BID_ABSENT;
    file->inode.generation = 0;
    file->id_offset = 0;
    memset(&file->id, 0, sizeof file->id);
    memset(&file->identity, 0, sizeof file->identity);
}

/* What an open file says. If the descriptor is another file's by now, the calls here do that file no harm. */
static void read_open(struct bid_mapped_file *file, const struct bid_descriptor *descriptor)
{
    struct bid_elf elf;
    int status = BID_ELF_E_IO;
    bid_identity_of_descriptor(&file->identity, descriptor->number);
    bid_generation_of(descriptor->number, &file->inode.generation);
    if (file->header && bid_is_ambiguous(descriptor, file->inode.device))
        status = bid_elf_read_memory(&elf, file->header);
    if (status != BID_ELF_OK)
        status = bid_elf_read_fd(&elf, BID_ELF_FILE, descriptor->number);
    bid_mapped_file_take(file, &elf, status);
}

enum { READ, ELSEWHERE, CHANGED };

/* READ: what the file says is believed. ELSEWHERE: the path does not lead to it. */
static int read_path(struct bid_mapped_file *file, const char *path)
{
    struct bid_descriptor descriptor;
    struct bid_identity after;
    int result = CHANGED;
    forget(file);
    if (!open_mapped(&descriptor, path))
        return ELSEWHERE;
    if (bid_is_mapped_file(&descriptor, file->inode.device, file->inode.number)) {
        read_open(file, &descriptor);
        bid_identity_of_descriptor(&after, descriptor.number);
        result = bid_identity_equal(&after, &file->identity) ? READ : CHANGED;
    } else if (bid_descriptor_is_ours(&descriptor)) {
        result = ELSEWHERE;
    }
    if (!bid_descriptor_close(&descriptor))
        result = CHANGED;
    if (result != READ)
        forget(file);
    return result;
}

/* Until the file stops changing. */
static int read_at_rest(struct bid_mapped_file *file, const char *path)
{
    int result = CHANGED;
    for (int tries = 0; tries < READ_TRIES && result == CHANGED; tries++)
        result = read_path(file, path);
    return result;
}

void bid_mapped_file_read(struct bid_mapped_file *file, const struct bid_range *range)
{
    char link[LINK_SIZE];
    struct bid_elf elf;
    int result = ELSEWHERE;
    uint64_t image = file->inode.number ? file->header : range->start; /* the vDSO */
    if (file->inode.number) {
        link_of(link, range);
        result = read_at_rest(file, link);
        if (result == ELSEWHERE)
            result = read_at_rest(file, file->path);
    }
    if (result == ELSEWHERE && image)
        bid_mapped_file_take(file, &elf, bid_elf_read_memory(&elf, image));
}
