/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* /proc/PID/maps as text, and its lines. */
#ifndef BID_PROCMAPS_H
#define BID_PROCMAPS_H

#include <stddef.h>
#include <stdint.h>

#define BID_DELETED " (deleted)" /* what the kernel appends to the path of a file that was removed */

struct bid_maps_text {
    char *text;
    size_t length, room;
};

struct bid_maps_line {
    uint64_t start, end, offset;
    uint64_t device; /* major << 32 | minor */
    uint64_t inode;
    int executable;
    const char *permissions; /* four characters */
    const char *path;        /* not terminated; bid_maps_line_path() makes it one */
    size_t path_length;
    const char *text; /* the whole line */
    size_t length;
};

/* Of this process, or from a file. BID_OK, BID_E_NO_MEMORY or BID_E_UNSUPPORTED; after an error errno says why. */
int bid_maps_text_read(struct bid_maps_text *text);
int bid_maps_text_read_from(struct bid_maps_text *text, const char *path);
void bid_maps_text_free(struct bid_maps_text *text);
/* The line at *position, which moves on; 0 at the end. */
int bid_maps_text_next(const struct bid_maps_text *text, size_t *position, struct bid_maps_line *line);
/* Writes the path with a NUL after it, in at most path_length + 1 bytes. Returns the end. */
char *bid_maps_line_path(char *to, const struct bid_maps_line *line);

#endif
