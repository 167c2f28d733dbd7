/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The file behind a mapping of another process, and its build ID.
 *
 * Device, inode number and path do not name a file for good. While the list is made a file may go, and another one may
 * get its number and its path. On btrfs and overlayfs two files may have the same number and device. So a build ID that
 * was read for one mapping is used for another only if the kernel's answer is the same for both, if the mappings have
 * one beginning, and if the file has not changed since.
 */
#define _GNU_SOURCE
#include "mappings.h"

#include "../note/scan.h"
#include "../resolve/procmaps.h"
#include "../resolve/same.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_BACK 64 /* mappings of a file are near each other */
#define READ_TRIES 4 /* of a file that changes meanwhile */
#define DELETED_LENGTH (sizeof BID_DELETED - 1)

/* ------------------------------------------------------------------------------------------------ its path -- */

static int is_area_of_vdso(const struct bid_area *area)
{
    return !area->shown.inode && strcmp(area->name, "[vdso]") == 0;
}

/* Where the kernel leads to the file itself. */
static const char *link_of_area(const struct bid_process *process, const struct bid_area *area)
{
    return bid_process_path(process, "map_files/%llx-%llx", (unsigned long long)area->shown.start,
                            (unsigned long long)area->shown.end);
}

/* By the path that the process sees. Without one it leads nowhere. */
static const char *path_in_root(const struct bid_process *process, const struct bid_area *area)
{
    return bid_process_path(process, "%s%s", area->name[0] == '/' ? "root" : "no path/", area->name);
}

/* The kernel appends " (deleted)" to the path of a file that was removed; a file may also be called so. */
static void split_name(const struct bid_process *process, struct bid_area *area)
{
    size_t length = strlen(area->name);
    struct stat there;
    if (length < DELETED_LENGTH || strcmp(area->name + length - DELETED_LENGTH, BID_DELETED) != 0)
        return;
    if (stat(path_in_root(process, area), &there) != 0 || there.st_ino != area->shown.inode) {
        area->name[length - DELETED_LENGTH] = 0;
        area->shown.deleted = 1;
    }
}

static void find_state(const struct bid_process *process, struct bid_area *area)
{
    bid_identity_of_path(&area->state, link_of_area(process, area));
    if (!area->state.known)
        bid_identity_of_path(&area->state, path_in_root(process, area));
}

/* ------------------------------------------------------------------------------------------------ opening it -- */

/* O_PATH first: to open a device or a pipe may have effects. Returns whether it could; if not, errno says why. */
static int open_if_regular(struct bid_descriptor *file, const char *path)
{
    struct bid_descriptor place;
    char link[48];
    if (!bid_descriptor_open_as(&place, path, O_PATH))
        return 0;
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", place.number);
    errno = ENOTSUP;
    int opened = S_ISREG(place.file.st_mode) && bid_descriptor_open(file, link);
    bid_descriptor_close(&place);
    return opened;
}

static int open_file_of(const struct bid_process *process, struct bid_descriptor *file, const struct bid_area *area)
{
    if (open_if_regular(file, link_of_area(process, area)))
        return 1;
    if (errno != EPERM && errno != EACCES && errno != ENOENT)
        return 0;
    if (!open_if_regular(file, path_in_root(process, area)))
        return 0;
    if (bid_is_mapped_file(file, area->shown.device, area->shown.inode))
        return 1;
    bid_descriptor_close(file);
    errno = ESTALE;
    return 0;
}

/* --------------------------------------------------------------------------------------------- reading it -- */

static void take_id(struct bid_area *area, const struct bid_elf *elf, int status)
{
    struct bid_process_mapping *shown = &area->shown;
    shown->elf_status = status == BID_ELF_COMPRESSED ? BID_ELF_NOT_ELF : status;
    shown->errnum = status == BID_ELF_E_IO ? errno : 0;
    shown->elf_offset = status == BID_ELF_LONG_ID ? elf->id_offset : status < 0 ? elf->error_offset : 0;
    if (status == BID_ELF_LONG_ID && elf->id_owner == BID_ELF_OWNER_GO)
        shown->elf_status = BID_ELF_NO_BUILD_ID; /* the Go linker writes it beside the build ID */
    if (status == BID_ELF_LONG_ID)
        shown->long_length = elf->long_length;
    if (status == BID_ELF_OK) {
        shown->id.length = elf->id_length;
        memcpy(shown->id.bytes, elf->id, elf->id_length);
    }
}

static void fail(struct bid_area *area, int error)
{
    area->shown.elf_status = BID_ELF_E_IO;
    area->shown.errnum = error;
}

static int read_memory(const struct bid_process *process, struct bid_elf *elf, uint64_t start)
{
    struct bid_descriptor memory;
    if (!bid_descriptor_open(&memory, bid_process_path(process, "mem")))
        return BID_ELF_E_IO;
    int status = bid_elf_read_image(elf, memory.number, start);
    bid_descriptor_close(&memory);
    return status;
}

/* If the opened file may not be the mapped one, the build ID in memory comes first. */
static void read_id(const struct bid_process *process, struct bid_area *area, const struct bid_descriptor *file)
{
    struct bid_elf elf;
    struct stat before, after;
    if (!area->shown.offset && bid_is_ambiguous(file, area->shown.device) &&
        read_memory(process, &elf, area->shown.start) == BID_ELF_OK) {
        take_id(area, &elf, BID_ELF_OK);
        return;
    }
    for (int i = 0; i < READ_TRIES; i++) {
        int known = fstat(file->number, &before) == 0;
        take_id(area, &elf, bid_elf_read_fd(&elf, BID_ELF_FILE, file->number));
        if (!known || fstat(file->number, &after) != 0)
            break;
        if (before.st_size == after.st_size && before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
            before.st_ctim.tv_nsec == after.st_ctim.tv_nsec)
            return;
    }
    fail(area, EAGAIN);
}

static void learn_from_file(const struct bid_process *process, struct bid_area *area)
{
    struct bid_descriptor file;
    if (area->asked_length) { /* the kernel finds build IDs of at most 20 bytes, and none of Go */
        area->shown.elf_status = BID_ELF_OK;
        area->shown.id.length = area->asked_length;
        memcpy(area->shown.id.bytes, area->asked, area->asked_length);
    }
    if (!open_file_of(process, &file, area)) {
        if (!area->asked_length)
            fail(area, errno);
        return;
    }
    area->shown.generation_known = bid_generation_of(file.number, &area->shown.id.generation);
    if (!area->asked_length)
        read_id(process, area, &file);
    if (!bid_descriptor_close(&file) && !area->asked_length)
        fail(area, EBADF);
}

/* --------------------------------------------------------------------------------- one file, many mappings -- */

static int same_name(const struct bid_area *a, const struct bid_area *b)
{
    return a->shown.inode == b->shown.inode && a->shown.device == b->shown.device &&
           a->shown.deleted == b->shown.deleted && strcmp(a->name, b->name) == 0;
}

static int same_state(const struct bid_area *a, const struct bid_area *b)
{
    if (!a->state.known || !b->state.known)
        return !a->state.known && !b->state.known; /* both out of reach */
    return b->state.settled && bid_identity_equal(&a->state, &b->state);
}

static void copy_id(struct bid_area *area, const struct bid_area *known)
{
    area->shown.generation_known = known->shown.generation_known;
    area->shown.elf_status = known->shown.elf_status;
    area->shown.errnum = known->shown.errnum;
    area->shown.elf_offset = known->shown.elf_offset;
    area->shown.long_length = known->shown.long_length;
    area->shown.id = known->shown.id;
}

/* From an earlier mapping of the same file, or from the file. */
static void learn(const struct bid_process *process, struct bid_process_maps *maps, struct bid_area *area)
{
    const struct bid_area *near = NULL;
    size_t first = maps->count > LOOK_BACK ? maps->count - LOOK_BACK : 0;
    split_name(process, area);
    find_state(process, area);
    for (size_t i = maps->count; i > first && !near; i--)
        if (same_name(&maps->areas[i - 1], area))
            near = &maps->areas[i - 1];
    area->beginning = !area->shown.offset ? area->shown.start : near ? near->beginning : 0;
    if (near && near->beginning == area->beginning && same_state(area, near) &&
        near->asked_length == area->asked_length && memcmp(near->asked, area->asked, area->asked_length) == 0)
        copy_id(area, near);
    else
        learn_from_file(process, area);
}

static void fill_in_area(const struct bid_process *process, struct bid_process_maps *maps, struct bid_area *area)
{
    struct bid_elf elf;
    area->shown.path = area->name;
    if (area->shown.inode)
        learn(process, maps, area);
    else if (is_area_of_vdso(area))
        take_id(area, &elf, read_memory(process, &elf, area->shown.start)); /* it has no file */
    else
        area->shown.elf_status = BID_ELF_NO_BUILD_ID;
}

static int make_room_for_area(struct bid_process_maps *maps)
{
    if (maps->count < maps->room)
        return BID_PROCESS_OK;
    size_t room = maps->room ? maps->room * 2 : 64;
    struct bid_area *areas = realloc(maps->areas, room * sizeof *areas);
    if (!areas)
        return BID_PROCESS_E_NO_MEMORY;
    maps->areas = areas;
    maps->room = room;
    return BID_PROCESS_OK;
}

int bid_area_add(struct bid_process *process, struct bid_process_maps *maps, const struct bid_area *area)
{
    int status = make_room_for_area(maps);
    if (status == BID_PROCESS_OK)
        status = bid_process_make_room(process, strlen(area->name));
    if (status != BID_PROCESS_OK) {
        free(area->name);
        return status;
    }
    maps->areas[maps->count] = *area;
    fill_in_area(process, maps, &maps->areas[maps->count]);
    maps->count++;
    return BID_PROCESS_OK;
}
