/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A table that is larger than what the system can give is refused before any of its memory is made present:
 * by what the kernel says is available, and by the limits of memory cgroups of both versions. The files
 * that say so are made here. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define MUCH (64u << 20)

static char folder[] = "/tmp/test_available.XXXXXX";
static size_t populated; /* at once, at most */

/* In the place of libc's: files of the system are looked for in the folder. */
int open(const char *path, int flags, ...)
{
    char name[4096];
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0) {
        snprintf(name, sizeof name, "%s%s", folder, path);
        path = name;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Memory that should not have been asked for is not had either, lest the machine suffer. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice != MADV_POPULATE_WRITE)
        return (int)syscall(SYS_madvise, address, bytes, advice);
    populated = bytes > populated ? bytes : populated;
    errno = ENOMEM;
    return bytes > MUCH ? -1 : (int)syscall(SYS_madvise, address, bytes, advice);
}

static void write_file(const char *path, const char *text)
{
    char name[4096];
    snprintf(name, sizeof name, "%s%s", folder, path);
    for (char *slash = name + sizeof folder; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        CHECK(mkdir(name, 0700) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(name, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Whether a table for so many entries, of 32 * 10 / 7 bytes each at the least, is refused before its memory is asked
 * for. */
static int is_refused(uint64_t entries)
{
    struct bid_table *table;
    struct bid_options options = {.size = sizeof options, .expected_entries = entries, .id_size = 20};
    populated = 0;
    int status = bid_create(&table, &options);
    CHECK_STATUS(status, BID_E_NO_MEMORY); /* for madvise() above has none either */
    return populated < MUCH;
}

static void remove_files(void)
{
    char command[4096];
    snprintf(command, sizeof command, "rm -rf %s/proc %s/sys", folder, folder);
    CHECK(system(command) == 0);
}

#define LARGE (5u << 19) /* entries: 128 MiB of buckets */

static void by_the_system(void)
{
    CHECK(!is_refused(LARGE)); /* there is no such file: nothing is known */
    write_file("/proc/meminfo", "MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: 200000 kB\nSwapFree: 0 kB\n");
    CHECK(!is_refused(LARGE));
    CHECK(is_refused(1ull << 32));
    write_file("/proc/meminfo", "MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: 100000 kB\nSwapFree: 0 kB\n");
    CHECK(is_refused(LARGE));
    write_file("/proc/meminfo", "MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: 100000 kB\nSwapFree: 100000 kB\n");
    CHECK(!is_refused(LARGE));
    remove_files();
}

static void by_cgroup(const char *own, const char *root, const char *limit, const char *used, const char *cache)
{
    char path[512], text[512];
    write_file("/proc/self/cgroup", own);
    snprintf(path, sizeof path, "%s/a/%s", root, limit);
    write_file(path, "100000000\n");
    snprintf(path, sizeof path, "%s/a/b/%s", root, limit);
    write_file(path, "max\n");
    CHECK(is_refused(LARGE)); /* by the outer one */
    snprintf(path, sizeof path, "%s/a/%s", root, limit);
    write_file(path, "300000000\n");
    CHECK(!is_refused(LARGE));
    snprintf(path, sizeof path, "%s/a/%s", root, used);
    write_file(path, "200000000\n");
    CHECK(is_refused(LARGE));
    snprintf(path, sizeof path, "%s/a/memory.stat", root);
    snprintf(text, sizeof text, "anon 7\n%s 100000000\n", cache);
    write_file(path, text); /* what is page cache can go */
    CHECK(!is_refused(LARGE));
    remove_files();
}

int main(void)
{
    CHECK(mkdtemp(folder));
    by_the_system();
    by_cgroup("0::/a/b\n", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file");
    by_cgroup("9:name=systemd:/\n7:memory:/a/b\n1:cpu:/x\n", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
              "memory.usage_in_bytes", "total_inactive_file");
    CHECK(rmdir(folder) == 0);
    return 0;
}
