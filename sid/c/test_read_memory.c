/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The build ID of a deleted file, which is read from memory, while reading fails: an interrupted read is tried again;
 * where nothing is mapped the image ends; any other error means that nothing is known, not that there is no build ID.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include "../note/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

static struct {
    int errnum, times; /* of the next reads of memory, so many fail; others are short */
    size_t length;
    int memory; /* its descriptor */
} failing;

/* In the place of libc's. */
int open(const char *path, int flags, ...)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
    failing.memory = strcmp(path, "/proc/self/mem") == 0 ? fd : -1;
    return fd;
}

/* In the place of libc's. */
ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    if (fd != failing.memory)
        return (ssize_t)syscall(SYS_pread64, fd, buffer, bytes, offset);
    if (failing.times) {
        failing.times--;
        errno = failing.errnum;
        return -1;
    }
    bytes = bytes < failing.length ? bytes : failing.length;
    return (ssize_t)syscall(SYS_pread64, fd, buffer, bytes, offset);
}

/* Maps a file that is there no more, and refreshes. */
static uint64_t map_deleted(int errnum, int times, size_t length)
{
    make_elf(in_directory("deleted"), 90, 20);
    uint64_t code = map_code(in_directory("deleted"), NULL);
    CHECK(unlink(in_directory("deleted")) == 0);
    failing.errnum = errnum, failing.times = times, failing.length = length;
    refresh();
    failing.times = 0;
    return code;
}

static void forget(uint64_t code)
{
    unmap_code(code);
    refresh();
}

static void ends_where_nothing_is_mapped(void)
{
    struct bid_elf elf;
    uint64_t code = map_deleted(0, 0, PAGE);
    check_code(code, 90, 20);
    CHECK(munmap((void *)code, PAGE) == 0); /* its second page; the read crosses the end */
    failing.length = PAGE - 1;
    CHECK(bid_elf_read_memory(&elf, code - PAGE) == BID_ELF_OK && elf.id_length == 20);
    CHECK(munmap((void *)(code - PAGE), PAGE) == 0);
    CHECK(bid_elf_read_memory(&elf, code - PAGE) == BID_ELF_E_IO && errno == EIO);
    refresh();
}

int main(void)
{
    uint64_t code;
    failing.length = PAGE;
    without_map_files();
    begin_mapping();
    refresh();
    check_code(code = map_deleted(EINTR, 3, PAGE), 90, 20);
    forget(code);
    check_code(code = map_deleted(0, 0, 100), 90, 20);
    forget(code);
    CHECK(reason_of(code = map_deleted(ENOMEM, 100, PAGE)) == BID_RESOLVE_UNKNOWN_FILE);
    forget(code);
    CHECK(reason_of(code = map_deleted(EIO, 100, PAGE)) == BID_RESOLVE_UNKNOWN_FILE);
    forget(code);
    ends_where_nothing_is_mapped();
    bid_maps_destroy(maps);
    remove_directory();
    return 0;
}
