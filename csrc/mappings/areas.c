/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The mappings of a process: asked for one by one (PROCMAP_QUERY), or read as text. */
#define _GNU_SOURCE
#include "mappings.h"

#include "bid/status.h"

#include "../resolve/procmaps.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* ----------------------------------------------------------------------------------------- PROCMAP_QUERY -- */

/* struct procmap_query of include/uapi/linux/fs.h, Linux 6.11 */
struct query {
    uint64_t size, query_flags, query_addr;
    uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
    uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct query)
#define COVERING_OR_NEXT 0x10
#define NAME_MAX_QUERY (4096 + sizeof BID_DELETED)
#define ID_MAX_QUERY 20
enum { READABLE = 1, WRITABLE = 2, EXECUTABLE = 4, SHARED = 8 };

/* The area at an address, or else the next one. Returns whether there is one; if not, errno says why: ENOENT, none. */
static int ask(const struct bid_process *process, uint64_t address, struct bid_area *area, char *name)
{
    struct query query = {.size = sizeof query, .query_flags = COVERING_OR_NEXT, .query_addr = address};
    *area = (struct bid_area){0};
    query.vma_name_size = NAME_MAX_QUERY;
    query.vma_name_addr = (uintptr_t)name;
    query.build_id_size = ID_MAX_QUERY;
    query.build_id_addr = (uintptr_t)area->asked;
    if (ioctl(process->maps.number, PROCMAP_QUERY, &query) != 0)
        return 0;
    if (!query.vma_name_size)
        *name = 0;
    area->asked_length = (uint8_t)query.build_id_size;
    area->shown = (struct bid_process_mapping){
        .start = query.vma_start,
        .end = query.vma_end,
        .offset = query.vma_offset,
        .device = (uint64_t)query.dev_major << 32 | query.dev_minor,
        .inode = query.inode,
        .permissions = {query.vma_flags & READABLE ? 'r' : '-', query.vma_flags & WRITABLE ? 'w' : '-',
                        query.vma_flags & EXECUTABLE ? 'x' : '-', query.vma_flags & SHARED ? 's' : 'p'},
    };
    return 1;
}

int bid_process_has_query(const struct bid_process *process)
{
    char name[NAME_MAX_QUERY];
    struct bid_area area;
    if (ask(process, 0, &area, name) || errno == ENOENT || errno == ENAMETOOLONG)
        return 1;
    return errno == ENOTTY || errno == EINVAL ? 0 : bid_process_failed();
}

/* ------------------------------------------------------------------------------------------ /proc/PID/maps -- */

static int from_line(struct bid_area *area, const struct bid_maps_line *line)
{
    *area = (struct bid_area){.name = malloc(line->path_length + 1)};
    area->shown = (struct bid_process_mapping){
        .start = line->start, .end = line->end, .offset = line->offset, .device = line->device, .inode = line->inode};
    memcpy(area->shown.permissions, line->permissions, 4);
    if (area->name)
        bid_maps_line_path(area->name, line);
    return area->name ? BID_PROCESS_OK : BID_PROCESS_E_NO_MEMORY;
}

/* Adds the areas that end above `from`: all, or the first of them only. */
static int add_lines(struct bid_process *process, struct bid_process_maps *maps, uint64_t from, int all)
{
    struct bid_maps_text text;
    struct bid_maps_line line;
    int status = BID_PROCESS_OK;
    if (bid_maps_text_read_from(&text, bid_process_path(process, "maps")) != BID_OK)
        return bid_process_failed();
    for (size_t position = 0; status == BID_PROCESS_OK && bid_maps_text_next(&text, &position, &line);) {
        struct bid_area area;
        if (line.end <= from)
            continue;
        status = from_line(&area, &line);
        if (status == BID_PROCESS_OK)
            status = bid_area_add(process, maps, &area);
        if (!all)
            break;
    }
    bid_maps_text_free(&text);
    return status;
}

int bid_process_text(struct bid_process *process, struct bid_process_maps *maps)
{
    return add_lines(process, maps, 0, 1);
}

/* A path may be longer than the request has room for; the text has paths of any length. */
int bid_process_query(struct bid_process *process, struct bid_process_maps *maps)
{
    char name[NAME_MAX_QUERY];
    struct bid_area area;
    int status = BID_PROCESS_OK;
    for (uint64_t address = 0; status == BID_PROCESS_OK;) {
        size_t before = maps->count;
        if (ask(process, address, &area, name)) {
            area.name = strdup(name);
            status = area.name ? bid_area_add(process, maps, &area) : BID_PROCESS_E_NO_MEMORY;
        } else if (errno == ENAMETOOLONG) {
            status = add_lines(process, maps, address, 0);
        } else {
            return errno == ENOENT ? BID_PROCESS_OK : bid_process_failed();
        }
        if (maps->count == before)
            break;
        address = maps->areas[before].shown.end;
    }
    return status;
}
