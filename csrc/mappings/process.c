/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A process by its number, and the list of its mappings as a whole. */
#define _GNU_SOURCE
#include "mappings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PF_KTHREAD 0x00200000ul /* include/linux/sched.h, shown in /proc/PID/stat: see proc_pid_stat(5) */

int bid_process_failed(void)
{
    switch (errno) {
    case ENOENT:
    case ESRCH:
        return BID_PROCESS_E_GONE;
    case EACCES:
    case EPERM:
        return BID_PROCESS_E_ACCESS;
    case ENOMEM:
        return BID_PROCESS_E_NO_MEMORY;
    default:
        return BID_PROCESS_E_IO;
    }
}

#define ROOM 128 /* for what is put before and between the parts of a path */

int bid_process_make_room(struct bid_process *process, size_t length)
{
    if (process->room >= length + ROOM)
        return BID_PROCESS_OK;
    char *path = realloc(process->path, length + ROOM);
    if (!path)
        return BID_PROCESS_E_NO_MEMORY;
    process->path = path;
    process->room = length + ROOM;
    return BID_PROCESS_OK;
}

const char *bid_process_path(const struct bid_process *process, const char *format, ...)
{
    va_list arguments;
    int place = snprintf(process->path, process->room, "/proc/thread-self/fd/%d/", process->directory.number);
    va_start(arguments, format);
    vsnprintf(process->path + place, process->room - (size_t)place, format, arguments);
    va_end(arguments);
    return process->path;
}

/* The state letter and the flags. The name of a process, in parentheses, may contain anything. */
static int read_state(const struct bid_process *process, char *state, unsigned long *flags)
{
    char text[1024], *end;
    struct bid_descriptor file;
    if (!bid_descriptor_open(&file, bid_process_path(process, "stat")))
        return 0;
    ssize_t n = pread(file.number, text, sizeof text - 1, 0);
    if (!bid_descriptor_close(&file))
        errno = EBADF;
    else if (n >= 0) {
        text[n] = 0;
        end = strrchr(text, ')');
        if (end && sscanf(end + 1, " %c %*d %*d %*d %*d %*d %lu", state, flags) == 2)
            return 1;
        errno = EIO;
    }
    return 0;
}

static int look(struct bid_process *process)
{
    char state;
    unsigned long flags;
    if (!read_state(process, &state, &flags))
        return bid_process_failed();
    if (state == 'Z' || state == 'X')
        return BID_PROCESS_E_ENDED;
    /* It has no memory of its own: some kernels show it as empty, others refuse. */
    if (!(flags & PF_KTHREAD) && !bid_descriptor_open(&process->maps, bid_process_path(process, "maps")))
        return bid_process_failed();
    return BID_PROCESS_OK;
}

int bid_process_open(struct bid_process *process, int pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", pid);
    *process = (struct bid_process){.maps = {.number = -1}};
    if (!bid_descriptor_open_as(&process->directory, path, O_PATH | O_DIRECTORY))
        return bid_process_failed();
    int status = bid_process_make_room(process, 0);
    if (status == BID_PROCESS_OK)
        status = look(process);
    if (status != BID_PROCESS_OK)
        bid_process_close(process);
    return status;
}

void bid_process_close(struct bid_process *process)
{
    if (process->maps.number >= 0)
        bid_descriptor_close(&process->maps);
    bid_descriptor_close(&process->directory);
    int error = errno;
    free(process->path);
    errno = error;
}

/* ---------------------------------------------------------------------------------------- the list -- */

static int fill_list(struct bid_process *process, struct bid_process_maps *maps, int source)
{
    if (process->maps.number < 0)
        return BID_PROCESS_OK;
    int has_query = source == BID_PROCESS_TEXT ? 0 : bid_process_has_query(process);
    if (has_query < 0)
        return has_query;
    if (source == BID_PROCESS_QUERY && !has_query)
        return BID_PROCESS_E_NO_QUERY;
    return has_query ? bid_process_query(process, maps) : bid_process_text(process, maps);
}

int bid_process_maps_read(struct bid_process_maps **result, int pid, int source)
{
    struct bid_process process;
    if (!result)
        return BID_PROCESS_E_NULL;
    *result = NULL;
    if (source < 0 || source >= BID_PROCESS_SOURCES)
        return BID_PROCESS_E_SOURCE;
    int status = bid_process_open(&process, pid);
    if (status != BID_PROCESS_OK)
        return status;
    struct bid_process_maps *maps = calloc(1, sizeof *maps);
    status = maps ? fill_list(&process, maps, source) : BID_PROCESS_E_NO_MEMORY;
    bid_process_close(&process); /* keeps errno */
    if (status == BID_PROCESS_OK)
        *result = maps;
    else
        bid_process_maps_free(maps);
    return status;
}

void bid_process_maps_free(struct bid_process_maps *maps)
{
    int error = errno;
    if (!maps)
        return;
    for (size_t i = 0; i < maps->count; i++)
        free(maps->areas[i].name);
    free(maps->areas);
    free(maps);
    errno = error;
}

size_t bid_process_maps_count(const struct bid_process_maps *maps)
{
    return maps ? maps->count : 0;
}

const struct bid_process_mapping *bid_process_maps_at(const struct bid_process_maps *maps, size_t index)
{
    return index < bid_process_maps_count(maps) ? &maps->areas[index].shown : NULL;
}

const struct bid_process_mapping *bid_process_maps_find(const struct bid_process_maps *maps, uint64_t address)
{
    size_t first = 0, end = bid_process_maps_count(
                          maps); /* the areas before first end at or below address, those from end on do not */
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (maps->areas[middle].shown.end <= address)
            first = middle + 1;
        else
            end = middle;
    }
    const struct bid_process_mapping *found = bid_process_maps_at(maps, first);
    return found && found->start <= address ? found : NULL;
}

/* ----------------------------------------------------------------------------------------- texts -- */

const char *bid_process_maps_problem(const struct bid_process_mapping *mapping)
{
    switch (mapping->elf_status) {
    case BID_ELF_OK:
    case BID_ELF_NO_BUILD_ID:
    case BID_ELF_NOT_ELF:
        return NULL;
    case BID_ELF_E_IO:
        return mapping->errnum == ESTALE    ? "its path leads to another file now"
               : mapping->errnum == EAGAIN  ? "the file changes while it is read"
               : mapping->errnum == ENOTSUP ? "not a regular file"
                                            : NULL;
    default:
        return bid_elf_status_text(mapping->elf_status);
    }
}

const char *bid_process_status_text(int status)
{
    static const char *const texts[] = {
        "done",
        "there is no such process: it has ended, or the number is wrong",
        "it has ended, and waits for its parent",
        "not permitted to read its mappings",
        "this kernel has no PROCMAP_QUERY: it came with Linux 6.11",
        "there is no memory left",
        "its mappings could not be read",
        "the source is none that there is",
        "a required pointer is NULL",
    };
    return status <= 0 && status >= BID_PROCESS_E_NULL ? texts[-status] : "unknown status";
}
