/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How much memory there is on Linux: what the kernel says it can give (MemAvailable and free swap of /proc/meminfo),
 * and what each memory cgroup of the process leaves of its limit, page cache not counted. What cannot be read limits
 * nothing.
 *
 * It may be less by the time the memory is used, so this keeps absurd sizes away, and no more than that.
 */
#define _GNU_SOURCE
#include "memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BID_SMALL (64ull << 20) /* bytes: not worth opening files for */
#define BID_TEXT 4096

/* The beginning of a file, as a string; "" if it cannot be read. */
static const char *bid_file_text(const char *path, char text[BID_TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, BID_TEXT - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

/* The number after a name at the beginning of a line; `without` if there is none. */
static uint64_t bid_text_field(const char *text, const char *name, uint64_t without)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, length) == 0)
            return strtoull(line + length, NULL, 10);
    return without;
}

static uint64_t bid_system_available(void)
{
    char text[BID_TEXT];
    bid_file_text("/proc/meminfo", text);
    uint64_t available = bid_text_field(text, "MemAvailable:", UINT64_MAX);
    return available == UINT64_MAX ? UINT64_MAX : (available + bid_text_field(text, "SwapFree:", 0)) << 10;
}

/* The files of one version of cgroups. */
struct bid_cgroups {
    const char *line; /* what follows in a line of /proc/self/cgroup is the path */
    const char *root, *limit, *used, *cache;
};
static const struct bid_cgroups bid_cgroups[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {"memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
};

static const char *bid_cgroup_text(const struct bid_cgroups *kind, const char *path, const char *file,
                                   char text[BID_TEXT])
{
    char name[BID_TEXT];
    snprintf(name, sizeof name, "%s%s/%s", kind->root, path, file);
    return bid_file_text(name, text);
}

/* Of one cgroup. Without a limit the file says "max", or is not there. */
static uint64_t bid_cgroup_available(const struct bid_cgroups *kind, const char *path)
{
    char text[BID_TEXT];
    bid_cgroup_text(kind, path, kind->limit, text);
    if (text[0] < '0' || text[0] > '9')
        return UINT64_MAX;
    uint64_t limit = strtoull(text, NULL, 10);
    uint64_t used = strtoull(bid_cgroup_text(kind, path, kind->used, text), NULL, 10);
    uint64_t cache = bid_text_field(bid_cgroup_text(kind, path, "memory.stat", text), kind->cache, 0);
    used -= cache < used ? cache : used;
    return used < limit ? limit - used : 0;
}

/* Of the process's cgroup and all that it is in, up to the root. */
static uint64_t bid_cgroups_available(const struct bid_cgroups *kind)
{
    char text[BID_TEXT];
    char *path = strstr((char *)bid_file_text("/proc/self/cgroup", text), kind->line);
    uint64_t least = UINT64_MAX;
    if (!path)
        return least;
    path += strlen(kind->line);
    path[strcspn(path, "\n")] = '\0';
    for (char *end = path + strlen(path);; end = strrchr(path, '/')) {
        if (end)
            *end = '\0';
        uint64_t available = bid_cgroup_available(kind, path);
        least = available < least ? available : least;
        if (!end || end == path)
            return least;
    }
}

static uint64_t bid_available(void)
{
    uint64_t least = bid_system_available();
    for (unsigned i = 0; i < sizeof bid_cgroups / sizeof *bid_cgroups; i++) {
        uint64_t available = bid_cgroups_available(&bid_cgroups[i]);
        least = available < least ? available : least;
    }
    return least;
}

/* Whoever opens and reads files may be cancelled there; but the caller holds a pin. */
int bid_platform_has(size_t bytes)
{
    int before;
    if (bytes < BID_SMALL)
        return 1;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    uint64_t available = bid_available();
    pthread_setcancelstate(before, &before);
    return bytes <= available;
}
