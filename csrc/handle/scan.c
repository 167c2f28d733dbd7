/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Build IDs of files: the I/O around the parser of csrc/note. One read of WINDOW bytes is enough for most files. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pybuildid.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW 4096

/* Reads until the buffer is full or the file ends: a short read alone does not mean the end of a file. None goes on past
 * INT64_MAX, and pread() refuses a range that does. */
static ssize_t read_window(int fd, uint8_t *buffer, uint64_t offset)
{
    size_t n = 0, room = INT64_MAX - offset < WINDOW ? (size_t)(INT64_MAX - offset) : WINDOW;
    while (n < room) {
        ssize_t got = pread(fd, buffer + n, room - n, (off_t)(offset + n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

int bid_elf_read_fd(struct bid_elf *elf, int mode, int fd)
{
    uint8_t buffer[WINDOW];
    uint64_t offset = 0;
    ssize_t n = 0;
    int status;
    bid_elf_begin(elf, mode);
    while ((status = bid_elf_feed(elf, offset, buffer, (size_t)n)) == BID_ELF_MORE) {
        offset = elf->want_offset;
        n = read_window(fd, buffer, offset);
        if (n < 0)
            return BID_ELF_E_IO;
    }
    return status;
}

/* Opens a regular file. Others are left alone: opening a device can do things, opening a pipe can wait. */
static int open_regular(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static void read_file(struct bid_elf_answer *answer, int mode, const char *path)
{
    struct bid_elf elf;
    *answer = (struct bid_elf_answer){.status = BID_ELF_E_IO};
    int fd = open_regular(path);
    if (fd < 0) {
        answer->errnum = errno;
        return;
    }
    answer->status = bid_elf_read_fd(&elf, mode, fd);
    answer->errnum = answer->status == BID_ELF_E_IO ? errno : 0;
    if (answer->status == BID_ELF_OK) {
        answer->length = elf.id_length;
        memcpy(answer->id, elf.id, elf.id_length);
    } else if (answer->status < 0) {
        answer->offset = elf.error_offset;
    }
    close(fd);
}

void bid_elf_read_files(struct bid_elf_answer *answers, int mode, const char *paths, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        read_file(&answers[i], mode, paths);
        paths += strlen(paths) + 1;
    }
}
