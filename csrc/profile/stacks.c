/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The stacks of a process, as far as its mappings show them: what frames.c may rely on.
 *
 * The first thread's stack has a name. Another thread's begins right above its guard, a mapping without access: so a
 * mapping with a guard below and the thread's descriptor in it is that thread's stack from its start on.
 */
#define _GNU_SOURCE
#include "server.h"

#include <string.h>

/* "rwxp", after the two addresses. */
static int has_rights(const struct bid_maps_line *line, const char *rights)
{
    const char *space = memchr(line->text, ' ', line->length);
    size_t n = strlen(rights);
    return space && space + 1 + n <= line->text + line->length && memcmp(space + 1, rights, n) == 0;
}

static int is_named(const struct bid_maps_line *line, const char *name)
{
    return line->path_length == strlen(name) && memcmp(line->path, name, line->path_length) == 0;
}

void bid_view_stacks(struct bid_view *view, const struct bid_maps_text *text)
{
    struct bid_maps_line line;
    uint64_t guard_end = 0;
    for (size_t position = 0; bid_maps_text_next(text, &position, &line);) {
        if (line.inode)
            continue; /* a file's end may be cut off, and then to read it is an error */
        if (is_named(&line, "[stack]")) {
            view->main_start = line.start;
            view->main_end = line.end;
        } else if (guard_end && line.start == guard_end && has_rights(&line, "rw") && view->stacks < BID_VIEW_STACKS)
            view->ranges[view->count + view->stacks++] = (struct bid_view_range){.start = line.start, .end = line.end};
        guard_end = has_rights(&line, "---p") ? line.end : 0;
    }
}
