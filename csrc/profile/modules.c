/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The names of what is counted. Each executable part of a file is written down once, by the first process that has it:
 * however many processes there are, there is room for as many files as any system runs.
 */
#define _GNU_SOURCE
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull; /* FNV-1a */
    return hash;
}

static uint32_t hash_range(const struct bid_range *range)
{
    uint64_t hash = hash_bytes(0xcbf29ce484222325ull, range->path, strlen(range->path));
    hash = hash_bytes(hash, range->file->id.bytes, range->file->id.length);
    hash = hash_bytes(hash, &range->offset, sizeof range->offset);
    return (uint32_t)(hash >> 32);
}

static struct bid_module *module_at(const struct bid_server *server, uint32_t number)
{
    return (struct bid_module *)(server->recording->modules + server->module_offsets[number]);
}

static int is_same(const struct bid_module *module, const struct bid_range *range, uint32_t reason)
{
    return module->reason == reason && module->offset == range->offset &&
           module->end - module->start == range->end - range->start && module->id_length == range->file->id.length &&
           memcmp(module->id, range->file->id.bytes, module->id_length) == 0 && strcmp(module->path, range->path) == 0;
}

/* `made`: all but its length and its path. The reader of the recording takes what is below module_used. 0: no room. */
static uint32_t write_down(struct bid_server *server, struct bid_module made, const char *path)
{
    struct bid_recording *recording = server->recording;
    uint64_t used = bid_load(&recording->module_used, BID_RELAXED);
    size_t length = strlen(path) + 1, bytes = (sizeof made + length + 7) / 8 * 8;
    uint32_t number = BID_MODULE_FIRST + server->module_count;
    if (used + bytes > BID_MODULE_BYTES || number > BID_MODULE_LAST)
        return 0;
    made.bytes = (uint32_t)bytes;
    server->module_offsets[number] = (uint32_t)used;
    server->module_count++;
    struct bid_module *module = module_at(server, number);
    *module = made;
    memcpy(module->path, path, length);
    bid_store(&recording->module_used, used + bytes, memory_order_release); /* for whoever reads the recording */
    return number;
}

static uint32_t write_file_down(struct bid_server *server, pid_t pid, const struct bid_range *range, uint32_t reason)
{
    struct bid_module made = {.process = (uint32_t)pid,
                              .start = range->start,
                              .end = range->end,
                              .offset = range->offset,
                              .header = range->file->header,
                              .id_offset = range->file->id_offset,
                              .reason = reason,
                              .id_length = range->file->id.length,
                              .main = bid_process_is_program(pid, range->file->header)};
    memcpy(made.id, range->file->id.bytes, made.id_length);
    return write_down(server, made, range->path);
}

/* An entry of the hash table is a number, or stands for a file that there was no room for, so
 * that it is lost only once. */
#define LOST 0x80000000u

uint32_t bid_module_number(struct bid_server *server, pid_t pid, const struct bid_range *range, uint32_t reason)
{
    uint32_t hash = hash_range(range);
    for (uint32_t i = 0; i <= BID_MODULE_LAST; i++) {
        uint32_t *entry = &server->modules[(hash + i) & BID_MODULE_LAST];
        if (*entry == (hash | LOST))
            return BID_SAMPLE_NO_ROOM;
        if (*entry && !(*entry & LOST) && is_same(module_at(server, *entry), range, reason))
            return *entry;
        if (*entry)
            continue;
        *entry = write_file_down(server, pid, range, reason);
        if (*entry)
            return *entry;
        *entry = hash | LOST;
        break;
    }
    bid_add(&server->recording->modules_lost, 1, BID_RELAXED);
    return BID_SAMPLE_NO_ROOM;
}

uint32_t bid_module_compiled(struct bid_server *server, struct bid_target *target, const struct bid_range *range)
{
    char path[64]; /* as the process has it, by its own PID, and as it is seen from here */
    if (target->compiled)
        return target->compiled;
    snprintf(path, sizeof path, "/proc/%d/root/tmp/perf-%u.map", (int)target->pid, target->slot->process);
    if (access(path, F_OK) != 0)
        return BID_SAMPLE_NO_FILE;
    struct bid_module made = {.process = (uint32_t)target->pid,
                              .start = range->start,
                              .end = range->end,
                              .offset = range->start,
                              .reason = BID_SAMPLE_NO_FILE};
    target->compiled = write_down(server, made, strstr(path, "/tmp/"));
    return target->compiled ? target->compiled : BID_SAMPLE_NO_FILE;
}

const char *bid_module_path(const struct bid_server *server, uint32_t number)
{
    return number < BID_MODULE_FIRST ? "" : module_at(server, number)->path;
}
