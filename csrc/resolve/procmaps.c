/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * /proc/PID/maps: read whole into memory of its own, without malloc, and taken apart line by line.
 * The kernel gives no snapshot: each read() shows the mappings of its time. Lines come by ascending address.
 */
#define _GNU_SOURCE
#include "procmaps.h"

#include "bid/status.h"

#include "../note/descriptor.h"
#include "../process/memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM (128u << 10)
#define OPEN_TRIES 8 /* until no other thread has taken our descriptor away */

/* 1: read to its end; 0: there was no room for all of it; -1: error. */
static int read_whole(int fd, struct bid_maps_text *text)
{
    text->length = 0;
    while (text->length < text->room) {
        ssize_t n = pread(fd, text->text + text->length, text->room - text->length, (off_t)text->length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : 1;
        text->length += (size_t)n;
    }
    return 0;
}

/* As read_whole(), with the memory for it; TAKEN: the descriptor was not ours to the end. */
enum { TAKEN = -2 };

static int read_once(struct bid_maps_text *text, const char *path)
{
    struct bid_descriptor maps;
    if (!bid_descriptor_open(&maps, path))
        return errno == EBADF ? TAKEN : -1;
    text->text = bid_platform_map(text->room, 0);
    int done = text->text ? read_whole(maps.number, text) : -1;
    int error = text->text ? errno : ENOMEM;
    if (!bid_descriptor_close(&maps))
        done = TAKEN;
    if (done <= 0)
        bid_maps_text_free(text);
    errno = error;
    return done;
}

int bid_maps_text_read(struct bid_maps_text *text)
{
    return bid_maps_text_read_from(text, "/proc/self/maps");
}

int bid_maps_text_read_from(struct bid_maps_text *text, const char *path)
{
    *text = (struct bid_maps_text){.room = FIRST_ROOM};
    for (int tries = 0; tries < OPEN_TRIES;) {
        int done = read_once(text, path);
        if (done > 0)
            return BID_OK;
        if (done == -1)
            return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? BID_E_NO_MEMORY : BID_E_UNSUPPORTED;
        tries += done == TAKEN;
        text->room *= done == 0 ? 2 : 1;
    }
    return BID_E_UNSUPPORTED;
}

void bid_maps_text_free(struct bid_maps_text *text)
{
    if (text->text)
        bid_platform_unmap(text->text, text->room);
    text->text = NULL;
}

static int digit(char c, unsigned base)
{
    int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
    return (unsigned)value < base ? value : -1;
}

static uint64_t number(const char **at, unsigned base)
{
    uint64_t value = 0;
    for (; digit(**at, base) >= 0; (*at)++)
        value = value * base + (uint64_t)digit(**at, base);
    return value;
}

/* start-end perm offset major:minor inode    path. The line ends with a newline, so no number runs out of it. */
static void parse(struct bid_maps_line *line)
{
    const char *at = line->text, *end = line->text + line->length;
    line->start = number(&at, 16);
    at++;
    line->end = number(&at, 16);
    at++;
    line->permissions = at;
    line->executable = at + 4 < end && at[2] == 'x';
    at += 5;
    line->offset = number(&at, 16);
    at++;
    line->device = number(&at, 16) << 32;
    at++;
    line->device |= number(&at, 16);
    at++;
    line->inode = number(&at, 10);
    while (at < end && *at == ' ')
        at++;
    line->path = at < end ? at : end;
    line->path_length = (size_t)(end - line->path);
}

int bid_maps_text_next(const struct bid_maps_text *text, size_t *position, struct bid_maps_line *line)
{
    const char *newline = memchr(text->text + *position, '\n', text->length - *position);
    if (!newline)
        return 0;
    line->text = text->text + *position;
    line->length = (size_t)(newline - line->text);
    *position += line->length + 1;
    parse(line);
    return 1;
}

/* In names the kernel writes a newline as \012, and escapes nothing else. */
char *bid_maps_line_path(char *to, const struct bid_maps_line *line)
{
    for (size_t i = 0; i < line->path_length; i++) {
        int newline = line->path_length - i >= 4 && memcmp(line->path + i, "\\012", 4) == 0;
        *to++ = newline ? '\n' : line->path[i];
        i += newline ? 3 : 0;
    }
    *to++ = 0;
    return to;
}
