/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The files of a recording. A reader opens a file by the link of its mapping (/proc/PID/map_files/START-END): so it is
 * the mapped one, whatever its path means by now, also when it was deleted, lies in another mount namespace, or has no
 * path.
 */
#define _GNU_SOURCE
#include "files.h"

#include "asking.h"
#include "bid/elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BID_FILES_START 1024u

static void bid_file_answered(void *argument, const struct bid_event *event, const struct bid_read_answer *answer);

int bid_files_open(struct bid_files *files)
{
    *files = (struct bid_files){.room = BID_FILES_START, .slots = 2 * BID_FILES_START};
    files->asking = bid_asking_open(bid_file_answered, files);
    files->files = calloc(files->room, sizeof *files->files);
    files->places = calloc(files->slots, sizeof *files->places);
    return files->asking && files->files && files->places ? 0 : -1;
}

void bid_files_close(struct bid_files *files)
{
    bid_asking_close(files->asking);
    for (uint32_t i = 0; i < files->count; i++)
        free(files->files[i].path);
    free(files->files);
    free(files->places);
    *files = (struct bid_files){0};
}

static uint64_t bid_file_hash(const struct bid_file_state *state, const uint8_t *id)
{
    uint64_t hash = state->inode ^ (uint64_t)state->tag << 32;
    if (!state->inode)
        memcpy(&hash, id, sizeof hash);
    hash *= 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

static int bid_file_is(const struct bid_recorded_file *file, const struct bid_file_state *state, const uint8_t *id)
{
    if (file->state.inode != state->inode || file->state.tag != state->tag)
        return 0;
    return state->inode || memcmp(file->id, id, BID_ID_NARROW) == 0;
}

/* The place of a file, or the free one where it would be. */
static uint32_t *bid_files_place(struct bid_files *files, const struct bid_file_state *state, const uint8_t *id)
{
    uint64_t at = bid_file_hash(state, id);
    while (files->places[at & (files->slots - 1)] &&
           !bid_file_is(&files->files[files->places[at & (files->slots - 1)] - 1], state, id))
        at++;
    return &files->places[at & (files->slots - 1)];
}

static int bid_files_grow(struct bid_files *files)
{
    struct bid_recorded_file *more = realloc(files->files, 2ul * files->room * sizeof *more);
    if (more)
        files->files = more;
    uint32_t *places = calloc(4ul * files->room, sizeof *places);
    if (!more || !places) {
        free(places);
        return -1;
    }
    free(files->places);
    files->places = places;
    files->slots = 4 * files->room;
    files->room *= 2;
    for (uint32_t i = 0; i < files->count; i++)
        *bid_files_place(files, &files->files[i].state, files->files[i].id) = i + 1;
    return 0;
}

/* The file with this state, a new one if need be; NULL: there is no memory. */
static struct bid_recorded_file *bid_files_get(struct bid_files *files, const struct bid_file_state *state,
                                               const uint8_t *id)
{
    uint32_t *place = bid_files_place(files, state, id);
    if (*place)
        return &files->files[*place - 1];
    if (files->count == files->room) {
        if (bid_files_grow(files))
            return NULL;
        place = bid_files_place(files, state, id);
    }
    struct bid_recorded_file *file = &files->files[files->count];
    *file = (struct bid_recorded_file){.state = *state, .status = BID_ELF_MORE, .path = strdup("")};
    if (!file->path)
        return NULL;
    *place = ++files->count;
    return file;
}

static void bid_file_failed(struct bid_files *files, int error)
{
    if (error == ENOENT || error == ESRCH)
        files->unreadable++;
    else
        files->denied++;
}

/* Only a build ID that a frame has room for goes into the table; a longer one is in the report alone. */
static void bid_file_enter(struct bid_files *files, const struct bid_recorded_file *file)
{
    size_t length = file->id_length <= BID_ID_NARROW ? file->id_length : 0;
    struct bid_table *table = bid_bpf_region_table(files->region);
    int status = bid_upsert(table, file->state.inode, file->state.tag, file->id, length);
    if (status < 0) { /* memory that a resize has left may be waiting for a grace period */
        bid_bpf_region_synchronize(files->region);
        status = bid_upsert(table, file->state.inode, file->state.tag, file->id, length);
    }
    files->refused += status < 0;
}

static void bid_file_name(struct bid_recorded_file *file, const char *path)
{
    char *copy = *path ? strdup(path) : NULL;
    if (copy) {
        free(file->path);
        file->path = copy;
    }
}

static void bid_file_silent(struct bid_files *files, struct bid_recorded_file *file, uint32_t silent)
{
    files->silent += (uint64_t)silent - file->silent;
    file->silent = silent;
}

static void bid_file_answered(void *argument, const struct bid_event *event, const struct bid_read_answer *answer)
{
    static const uint8_t none[BID_ID_NARROW];
    struct bid_files *files = argument;
    struct bid_recorded_file *file = bid_files_get(files, &event->file, none);
    if (!file || file->status != BID_ELF_MORE)
        return;
    bid_file_silent(files, file, !answer);
    if (!answer)
        return;
    bid_file_name(file, answer->path);
    if (answer->status == BID_ELF_E_IO && answer->error) {
        bid_file_failed(files, answer->error);
        return;
    }
    if (!answer->same) {
        files->changed++;
        return;
    }
    files->read++;
    file->start = event->start;
    file->end = event->end;
    file->offset = event->offset;
    file->id_offset = answer->id_offset;
    file->status = answer->status;
    file->id_length = answer->id_length;
    memcpy(file->id, answer->id, file->id_length);
    bid_file_enter(files, file);
}

void bid_files_learn(struct bid_files *files, const struct bid_event *event)
{
    static const uint8_t none[BID_ID_NARROW];
    struct bid_recorded_file *file = bid_files_get(files, &event->file, none);
    if (file && file->status != BID_ELF_MORE) /* asked for by several processes at once, or evicted and mapped again */
        bid_file_enter(files, file);
    else if (file)
        bid_ask(files->asking, event);
}

int bid_files_are_silent(struct bid_files *files, const struct bid_frame *frame)
{
    static const uint8_t none[BID_ID_NARROW];
    struct bid_file_state state = {.inode = frame->inode, .tag = frame->tag};
    uint32_t number = files->silent && frame->inode ? *bid_files_place(files, &state, none) : 0;
    return number && files->files[number - 1].silent;
}

/* The kernel pads shorter build IDs with zeros. These are the lengths that linkers write. */
static uint32_t bid_padded_length(const uint8_t *id)
{
    uint32_t length = BID_ID_NARROW;
    while (length && !id[length - 1])
        length--;
    return length <= 8 ? 8 : length <= 16 ? 16 : BID_ID_NARROW;
}

/* What the kernel answered goes by its build ID alone: it looked a moment later than the table did, and may have found
 * another file at that address. */
uint32_t bid_files_of(struct bid_files *files, const struct bid_frame *frame)
{
    int by_kernel = frame->source == BID_SOURCE_KERNEL;
    if (!frame->inode && !by_kernel)
        return 0;
    struct bid_file_state state = {0};
    if (!by_kernel) {
        state.inode = frame->inode;
        state.tag = frame->tag;
    }
    struct bid_recorded_file *file = bid_files_get(files, &state, frame->build_id);
    if (!file)
        return 0;
    if (by_kernel && !file->id_length) {
        file->id_length = bid_padded_length(frame->build_id);
        memcpy(file->id, frame->build_id, sizeof frame->build_id);
    }
    return (uint32_t)(file - files->files) + 1;
}
