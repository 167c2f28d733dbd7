/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Build IDs of files and of memory: the I/O around the parser of csrc/note. One read of
 * WINDOW bytes is mostly enough. */
#define _GNU_SOURCE
#include "scan.h"

#include "descriptor.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW 4096

/* Where the bytes are. */
struct source {
    int fd;
    int memory;          /* of a process: EIO says that nothing is mapped there */
    uint64_t base, size; /* offsets count from base, and nothing is read past base + size */
};

/* How many bytes there may be to read at an offset: at most WINDOW. pread() refuses a range
 * that goes past INT64_MAX. */
static size_t room_at(const struct source *source, uint64_t offset)
{
    uint64_t last = source->base < INT64_MAX ? INT64_MAX - source->base : 0;
    uint64_t end = source->size < last ? source->size : last, rest = offset < end ? end - offset : 0;
    return rest < WINDOW ? (size_t)rest : WINDOW;
}

/* Reads until the buffer is full or the source ends: a short read alone does not mean that. */
static ssize_t read_window(const struct source *source, uint8_t *buffer, uint64_t offset)
{
    size_t n = 0, room = room_at(source, offset);
    while (n < room) {
        ssize_t got = pread(source->fd, buffer + n, room - n, (off_t)(source->base + offset + n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || (got < 0 && errno == EIO && source->memory && offset + n)) /* an image has a first byte */
            break;
        if (got < 0)
            return -1;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static int read_elf(struct bid_elf *elf, int mode, const struct source *source)
{
    uint8_t buffer[WINDOW];
    uint64_t offset = 0;
    ssize_t n = 0;
    int status;
    bid_elf_begin(elf, mode);
    while ((status = bid_elf_feed(elf, offset, buffer, (size_t)n)) == BID_ELF_MORE) {
        offset = elf->want_offset;
        n = read_window(source, buffer, offset);
        if (n < 0)
            return BID_ELF_E_IO;
    }
    return status;
}

int bid_elf_read_fd(struct bid_elf *elf, int mode, int fd)
{
    return bid_elf_read_part(elf, mode, fd, 0, UINT64_MAX);
}

int bid_elf_read_part(struct bid_elf *elf, int mode, int fd, uint64_t offset, uint64_t size)
{
    return read_elf(elf, mode, &(struct source){.fd = fd, .base = offset, .size = size});
}

int bid_elf_read_image(struct bid_elf *elf, int memory, uint64_t base)
{
    return read_elf(elf, BID_ELF_IMAGE, &(struct source){memory, 1, base, UINT64_MAX});
}

int bid_elf_read_memory(struct bid_elf *elf, uint64_t base)
{
    struct bid_descriptor memory;
    if (!bid_descriptor_open(&memory, "/proc/self/mem"))
        return BID_ELF_E_IO;
    int status = bid_elf_read_image(elf, memory.number, base);
    if (bid_descriptor_close(&memory))
        return status;
    errno = EBADF;
    return BID_ELF_E_IO;
}

/* Opens a regular file. Others are left alone: opening a device can do things, opening a pipe can wait. */
static int open_regular(struct bid_descriptor *file, const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return 0;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
        return 0;
    }
    return bid_descriptor_open(file, path);
}

static void read_file(struct bid_elf_answer *answer, int mode, const char *path)
{
    struct bid_elf elf;
    struct bid_descriptor file;
    *answer = (struct bid_elf_answer){.status = BID_ELF_E_IO};
    if (!open_regular(&file, path)) {
        answer->errnum = errno;
        return;
    }
    answer->status = bid_elf_read_fd(&elf, mode, file.number);
    answer->errnum = answer->status == BID_ELF_E_IO ? errno : 0;
    if (answer->status == BID_ELF_OK) {
        answer->length = elf.id_length;
        memcpy(answer->id, elf.id, elf.id_length);
    } else if (answer->status < 0) {
        answer->offset = elf.error_offset;
    }
    if (!bid_descriptor_close(&file))
        *answer = (struct bid_elf_answer){.status = BID_ELF_E_IO, .errnum = EBADF};
}

void bid_elf_read_files(struct bid_elf_answer *answers, int mode, const char *paths, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        read_file(&answers[i], mode, paths);
        paths += strlen(paths) + 1;
    }
}
