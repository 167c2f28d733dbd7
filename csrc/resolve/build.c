/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A snapshot in the making: from the text of /proc/self/maps to ranges, files and paths, in private.
 *
 * Two passes over the text: one measures, one fills. If the last snapshot had the mapping as well, and its file is the
 * same and unchanged, what is known of the file is copied. The other files are read.
 */
#include "snapshot.h"

#include <string.h>

struct bid_size {
    uint64_t ranges, path_bytes;
};

static int is_vdso(const struct bid_maps_line *line)
{
    return line->path_length == 6 && memcmp(line->path, "[vdso]", 6) == 0;
}

/* Ranges that overlap, because the process went on mapping between two reads, would break the search. */
static int is_range(const struct bid_maps_line *line, uint64_t last_end)
{
    return line->executable && line->start >= last_end && line->start < line->end;
}

static struct bid_size measure(const struct bid_maps_text *text)
{
    struct bid_size size = {0};
    struct bid_maps_line line;
    uint64_t last_end = 0;
    for (size_t position = 0; bid_maps_text_next(text, &position, &line);) {
        if (!is_range(&line, last_end))
            continue;
        last_end = line.end;
        size.ranges++;
        size.path_bytes += line.path_length + 1;
    }
    return size;
}

/* ------------------------------------------------------------------------------------------------ fill -- */

struct bid_fill {
    struct bid_snapshot *snapshot;
    char *paths;
    struct bid_maps_line header; /* the last line that maps offset 0 of a file */
    struct bid_maps_line last;   /* the line of the last range */
};

static int same_file(const struct bid_maps_line *a, const struct bid_maps_line *b)
{
    return a->inode == b->inode && a->device == b->device && a->path_length == b->path_length &&
           memcmp(a->path, b->path, a->path_length) == 0;
}

static const char *keep_path(struct bid_fill *fill, const struct bid_maps_line *line)
{
    const char *path = fill->paths;
    fill->paths = bid_maps_line_path(fill->paths, line);
    return path;
}

static uint64_t header_of(const struct bid_fill *fill, const struct bid_maps_line *line)
{
    if (is_vdso(line))
        return line->start;
    return fill->header.text && same_file(line, &fill->header) ? fill->header.start : 0;
}

/* A file that is mapped from its beginning twice is taken for two: what looks the same may be
 * different files (file.c). */
static void add_file(struct bid_fill *fill, struct bid_range *range, const struct bid_maps_line *line)
{
    struct bid_snapshot *snapshot = fill->snapshot;
    uint64_t header = header_of(fill, line);
    if (snapshot->file_count && line->inode && fill->last.inode && same_file(line, &fill->last) &&
        snapshot->files[snapshot->file_count - 1].header == header) {
        range->file = &snapshot->files[snapshot->file_count - 1];
        range->path = range->file->path;
        return;
    }
    range->file = &snapshot->files[snapshot->file_count++];
    range->path = range->file->path = keep_path(fill, line);
    bid_inode_init(&range->file->inode, line->device, line->inode, 0);
    range->file->status = BID_ABSENT;
    range->file->header = header;
}

static void add_range(struct bid_fill *fill, const struct bid_maps_line *line)
{
    struct bid_range *range = &fill->snapshot->ranges[fill->snapshot->count++];
    *range = (struct bid_range){.start = line->start, .end = line->end, .offset = line->offset, .fresh = 1};
    if (line->inode || is_vdso(line))
        add_file(fill, range, line);
    else
        range->path = keep_path(fill, line);
    fill->last = *line;
}

static void fill_in(struct bid_fill *fill, const struct bid_maps_text *text)
{
    struct bid_maps_line line;
    uint64_t last_end = 0;
    for (size_t position = 0; bid_maps_text_next(text, &position, &line);) {
        if (line.inode && !line.offset)
            fill->header = line;
        if (!is_range(&line, last_end))
            continue;
        last_end = line.end;
        add_range(fill, &line);
    }
}

int bid_snapshot_make(struct bid_snapshot **result, const struct bid_maps_text *text)
{
    struct bid_size size = measure(text);
    if (size.ranges > BID_MAPS_MAX_RANGES)
        return BID_E_TOO_MANY;
    size_t bytes = sizeof(struct bid_snapshot) + size.path_bytes +
                   size.ranges * (sizeof(struct bid_range) + sizeof(struct bid_mapped_file));
    struct bid_snapshot *snapshot = bid_platform_map(bytes, 0);
    if (!snapshot)
        return BID_E_NO_MEMORY;
    int status = bid_platform_populate(snapshot, bytes, 0);
    if (status != BID_OK) {
        bid_platform_unmap(snapshot, bytes);
        return status;
    }
    snapshot->bytes = bytes;
    snapshot->ranges = (struct bid_range *)(snapshot + 1);
    snapshot->files = (struct bid_mapped_file *)(snapshot->ranges + size.ranges);
    struct bid_fill fill = {.snapshot = snapshot, .paths = (char *)(snapshot->files + size.ranges)};
    fill_in(&fill, text);
    *result = snapshot;
    return BID_OK;
}

/* ------------------------------------------------------------------------------------- what is known of files -- */

static const struct bid_range *find_start(const struct bid_snapshot *snapshot, uint64_t start)
{
    uint64_t first = 0, n = snapshot->count;
    while (n > 1) {
        uint64_t half = n / 2;
        first += snapshot->ranges[first + half].start <= start ? half : 0;
        n -= half;
    }
    const struct bid_range *range = &snapshot->ranges[first];
    return n && range->start == start ? range : NULL;
}

static int is_same_mapping(const struct bid_range *a, const struct bid_range *b)
{
    if (a->end != b->end || a->offset != b->offset || !a->file != !b->file || strcmp(a->path, b->path) != 0)
        return 0;
    return !a->file ||
           (a->file->inode.device == b->file->inode.device && a->file->inode.number == b->file->inode.number);
}

static void copy_knowledge(struct bid_mapped_file *file, const struct bid_mapped_file *known)
{
    file->inode.generation = known->inode.generation;
    file->status = known->status;
    file->id = known->id;
    file->id_offset = known->id_offset;
    file->identity = known->identity;
}

void bid_snapshot_inherit(struct bid_snapshot *snapshot, const struct bid_snapshot *old)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < snapshot->count; i++) {
        struct bid_range *range = &snapshot->ranges[i];
        const struct bid_range *before = find_start(old, range->start);
        if (!before || !is_same_mapping(range, before))
            continue;
        range->fresh = 0;
        kept += !range->file || range->file->header == before->file->header;
        if (range->file && range->file->status == BID_ABSENT)
            copy_knowledge(range->file, before->file);
    }
    snapshot->same = kept == snapshot->count && kept == old->count;
}

/* Whether two readings of a file that looks the same gave the same. */
static int same_knowledge(const struct bid_mapped_file *a, const struct bid_mapped_file *b)
{
    return a->inode.generation == b->inode.generation && a->status == b->status && a->id_offset == b->id_offset &&
           a->id.length == b->id.length && memcmp(a->id.bytes, b->id.bytes, a->id.length) == 0 &&
           (bid_identity_equal(&a->identity, &b->identity) || (!a->identity.known && !b->identity.known));
}

/* Returns whether what is known of the file has changed. A mapping that looks the same may be of another file: when a
 * file has gone, another one may get its inode's number, its path and its address. */
static int update(struct bid_mapped_file *file, const struct bid_range *range)
{
    if (file->status != BID_ABSENT && bid_mapped_file_unchanged(file, range))
        return 0;
    struct bid_mapped_file known = *file;
    bid_mapped_file_read(file, range);
    return !same_knowledge(file, &known);
}

/* The ranges of a file follow one another. */
void bid_snapshot_read_files(struct bid_snapshot *snapshot)
{
    const struct bid_mapped_file *last = NULL;
    uint64_t changed = 0;
    for (uint64_t i = 0; i < snapshot->count; i++) {
        struct bid_range *range = &snapshot->ranges[i];
        if (range->file && range->file != last)
            changed = (uint64_t)update(range->file, range);
        if (range->file && changed) {
            range->fresh = 1;
            snapshot->same = 0;
        }
        last = range->file;
    }
}

/* An ID that is longer than the table takes stays unknown. */
int bid_snapshot_associate(struct bid_snapshot *snapshot, struct bid_table *table)
{
    for (uint64_t i = 0; i < snapshot->file_count; i++) {
        struct bid_mapped_file *file = &snapshot->files[i];
        file->id.generation = file->inode.generation;
        if (file->status == BID_ABSENT)
            continue;
        int status = bid_inode_associate(table, &file->inode, file->id.bytes, file->id.length);
        if (status < 0 && status != BID_E_ID_LENGTH)
            return status;
    }
    return BID_OK;
}

/* An inode whose entry cannot be removed keeps the memory, for it must not become another inode's. */
int bid_snapshot_dispose(struct bid_snapshot *snapshot, struct bid_table *table)
{
    int status = BID_OK;
    for (uint64_t i = 0; i < snapshot->file_count; i++) {
        int evicted = bid_inode_evict(table, &snapshot->files[i].inode);
        status = evicted < 0 ? evicted : status;
    }
    if (status == BID_OK)
        bid_platform_unmap(snapshot, snapshot->bytes);
    return status;
}
