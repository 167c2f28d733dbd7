/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the server learns of a process from outside, by /proc.
 *
 * A build ID is read from the image in the process's own memory, where the kernel maps the first page of the file as it
 * is: so it is the ID of the very file that is mapped there, also if it has been deleted, replaced by another with the
 * same inode number, or is out of sight in a mount namespace. It is read anew each time, for one mapping may take the
 * place of another between two looks. Only if the image has none, or is not mapped, the file is asked: through
 * /proc/PID/map_files, which leads to what is mapped (root only), or by its path in the process's root, if device and
 * inode are those that the mapping has.
 */
#define _GNU_SOURCE
#include "server.h"

#include "../note/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define WINDOW 4096
#define FIRST_ROOM (64u << 10)

static int open_of(pid_t pid, const char *name, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return open(path, flags | O_CLOEXEC);
}

/* Bytes of a small file of /proc, with a NUL after them; -1: it cannot be read. */
static ssize_t read_small(pid_t pid, const char *name, char *text, size_t room)
{
    int fd = open_of(pid, name, O_RDONLY);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, room - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    return n;
}

/* --------------------------------------------------------------------------------------- which process -- */

/* The name in parentheses may have spaces and parentheses; the state is the third field, the start the 22nd. */
uint64_t bid_process_start_time(pid_t pid)
{
    char text[1024], *at;
    if (read_small(pid, "stat", text, sizeof text) <= 0 || !(at = strrchr(text, ')')))
        return 0;
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* The number after `name` in /proc/PID/status; the last one if there are several. */
static long status_number(pid_t pid, const char *name)
{
    char text[4096], *line, *end, *last;
    if (read_small(pid, "status", text, sizeof text) <= 0 || !(line = strstr(text, name)))
        return -1;
    end = strchr(line + 1, '\n');
    if (!end)
        return -1;
    *end = 0;
    for (last = end; last > line && last[-1] != '\t'; last--)
        ;
    return strtol(last, NULL, 10);
}

int bid_process_is_traced(pid_t pid)
{
    return status_number(pid, "\nTracerPid:") > 0;
}

/* What the kernel told the program at its start; 0: that it did not say, or cannot be read. */
static uint64_t auxiliary_value(pid_t pid, uint64_t type)
{
    uint64_t pairs[64][2] = {{0}};
    int fd = open_of(pid, "auxv", O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, pairs, sizeof pairs);
    close(fd);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof pairs[0]; i++)
        if (pairs[i][0] == type)
            return pairs[i][1];
    return 0;
}

uint64_t bid_process_random(pid_t pid)
{
    return auxiliary_value(pid, AT_RANDOM);
}

/* Program headers come right after the ELF header. */
int bid_process_is_program(pid_t pid, uint64_t header)
{
    uint64_t phdr = auxiliary_value(pid, AT_PHDR);
    return header && phdr > header && phdr - header < WINDOW;
}

static int is_process_of(const struct bid_slot *slot, pid_t pid)
{
    uint64_t claim = 0;
    int memory = bid_process_memory(pid);
    if (memory < 0)
        return 0;
    ssize_t n = pread(memory, &claim, sizeof claim, (off_t)slot->proof);
    close(memory);
    return n == sizeof claim && claim == slot->claim;
}

pid_t bid_process_find(const struct bid_slot *slot)
{
    pid_t found = 0;
    if (is_process_of(slot, (pid_t)slot->process))
        return (pid_t)slot->process;
    DIR *processes = opendir("/proc");
    struct dirent *process;
    while (processes && !found && (process = readdir(processes))) {
        pid_t pid = atoi(process->d_name);
        if (pid > 0 && status_number(pid, "\nNSpid:") == (long)slot->process && is_process_of(slot, pid))
            found = pid;
    }
    if (processes)
        closedir(processes);
    return found;
}

/* ---------------------------------------------------------------------------------------- its mappings -- */

int bid_process_memory(pid_t pid)
{
    return open_of(pid, "mem", O_RDONLY);
}

/* The kernel gives about a page at each read(). */
int bid_process_maps(pid_t pid, struct bid_maps_text *text)
{
    int fd = open_of(pid, "maps", O_RDONLY), error = fd < 0 ? errno : 0;
    *text = (struct bid_maps_text){0};
    for (ssize_t n = 1; !error && n;) {
        if (text->room - text->length < WINDOW) {
            size_t room = text->room ? text->room * 2 : FIRST_ROOM;
            char *more = realloc(text->text, room);
            if (!more) {
                error = ENOMEM;
                break;
            }
            text->text = more;
            text->room = room;
        }
        n = read(fd, text->text + text->length, text->room - text->length);
        if (n < 0 && errno != EINTR)
            error = errno;
        text->length += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    if (error)
        free(text->text);
    return error;
}

/* ----------------------------------------------------------------------------------------- build IDs -- */

static int is_mapped_file(int fd, const struct bid_inode *inode)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == inode->number &&
           ((uint64_t)major(status.st_dev) << 32 | minor(status.st_dev)) == inode->device;
}

/* To open a device or a pipe may have effects, so the type is asked first (O_PATH). */
static int open_mapped(pid_t pid, const struct bid_range *range)
{
    char name[48];
    snprintf(name, sizeof name, "map_files/%llx-%llx", (unsigned long long)range->start,
             (unsigned long long)range->end);
    int fd = open_of(pid, name, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0 || range->path[0] != '/')
        return fd;
    int root = open_of(pid, "root", O_PATH | O_DIRECTORY);
    int file = root < 0 ? -1 : openat(root, range->path + 1, O_PATH | O_CLOEXEC);
    if (file >= 0 && is_mapped_file(file, &range->file->inode)) {
        snprintf(name, sizeof name, "/proc/thread-self/fd/%d", file);
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    }
    if (file >= 0)
        close(file);
    if (root >= 0)
        close(root);
    return fd;
}

void bid_process_file(pid_t pid, int memory, const struct bid_range *range)
{
    struct bid_mapped_file *file = range->file;
    struct bid_elf elf;
    file->status = BID_ABSENT;
    if (file->header)
        bid_mapped_file_take(file, &elf, bid_elf_read_image(&elf, memory, file->header));
    if (file->status == BID_OK)
        return;
    int fd = file->inode.number ? open_mapped(pid, range) : -1;
    if (fd >= 0) {
        bid_mapped_file_take(file, &elf, bid_elf_read_fd(&elf, BID_ELF_FILE, fd));
        close(fd);
    }
}
