/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Views: what a process's handlers search. A new one is written in private, published by one store (V), and the one
 * before it is used again once no handler of the process was inside at a moment after that store (N). Until then no
 * other is published: a process keeps two views at most.
 */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif

#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* Linux 5.10 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3 */
#endif

#define UNIT 64u
#define HEADER 4096
#define PATIENCE 1000 /* looks at slot->inside, between which others run */

/* -------------------------------------------------------------------------------------------- memory -- */

static uint64_t bytes_of(const struct bid_view *view)
{
    return sizeof *view + (view->count + view->stacks) * sizeof view->ranges[0];
}

/* Classes of sizes, each twice the one before, with a list of free views for each. */
static unsigned class_of(uint64_t bytes)
{
    unsigned size = 0;
    while (((uint64_t)UNIT << size) < bytes)
        size++;
    return size;
}

static struct bid_view *view_at(const struct bid_server *server, uint64_t offset)
{
    return (struct bid_view *)((char *)server->recording + offset);
}

/* An offset in the recording; 0: there is no room. */
static uint64_t view_new(struct bid_server *server, unsigned size)
{
    uint64_t offset = size < BID_SIZES ? server->view_free[size] : 0;
    if (offset) {
        memcpy(&server->view_free[size], view_at(server, offset), sizeof offset);
        return offset;
    }
    uint64_t bytes = (uint64_t)UNIT << size;
    offset = offsetof(struct bid_recording, views) + server->view_end;
    if (size >= BID_SIZES || bytes > BID_VIEW_BYTES - server->view_end)
        return 0;
    server->view_end += bytes;
    return offset;
}

static void view_free(struct bid_server *server, uint64_t offset)
{
    if (!offset)
        return;
    unsigned size = class_of(bytes_of(view_at(server, offset)));
    memcpy(view_at(server, offset), &server->view_free[size], sizeof offset);
    server->view_free[size] = offset;
}

/* ------------------------------------------------------------------------------------------- publication -- */

/* Whether the old view is free of readers. A handler takes a microsecond, unless its thread is not running. */
static int reuse_old(struct bid_server *server, struct bid_target *target)
{
    for (int i = 0; target->old && i < PATIENCE; i++) {
        if (!bid_load(&target->slot->inside, memory_order_seq_cst)) { /* (N) pairs with bid_agent_sample() */
            view_free(server, target->old);
            target->old = 0;
        } else
            sched_yield();
    }
    return !target->old;
}

static int publish(struct bid_server *server, struct bid_target *target, const struct bid_view *made)
{
    size_t bytes = bytes_of(made);
    int room = reuse_old(server, target); /* also if nothing has changed, so that there mostly is room when it has */
    if (target->view && memcmp(view_at(server, target->view), made, bytes) == 0)
        return 0;
    if (!room)
        return EBUSY;
    uint64_t offset = view_new(server, class_of(bytes));
    if (!offset) {
        bid_add(&server->recording->views_lost, 1, BID_RELAXED);
        return ENOSPC;
    }
    memcpy(view_at(server, offset), made, bytes);
    bid_store(&target->slot->view, offset, memory_order_seq_cst); /* (V) (N) pairs with bid_agent_sample() */
    target->old = target->view;
    target->view = offset;
    return 0;
}

/* The process is gone, or has given its slot back: nobody reads. */
void bid_view_release(struct bid_server *server, struct bid_target *target)
{
    view_free(server, target->old);
    view_free(server, target->view);
    target->old = target->view = 0;
}

/* ----------------------------------------------------------------------------------------------- reading -- */

static uint32_t reason_of(const struct bid_mapped_file *file)
{
    return file->status == BID_OK            ? BID_SAMPLE_RESOLVED
           : file->status == BID_NO_BUILD_ID ? BID_SAMPLE_NO_BUILD_ID
                                             : BID_SAMPLE_UNKNOWN_FILE;
}

static struct bid_view_range describe(struct bid_server *server, struct bid_target *target, int memory,
                                      const struct bid_range *range)
{
    struct bid_view_range made = {.start = range->start, .end = range->end, .offset = range->offset};
    if (!range->file) {
        made.reason = BID_SAMPLE_NO_FILE;
        made.module = bid_module_compiled(server, target, range);
        made.offset = range->start;
        return made;
    }
    if (range->file->status == BID_ABSENT)
        bid_process_file(target->pid, memory, range);
    made.header = range->file->header;
    made.reason = reason_of(range->file);
    made.module = bid_module_number(server, target->pid, range, made.reason);
    if (made.module < BID_MODULE_FIRST)
        made.reason = made.module;
    return made;
}

static int make_and_publish(struct bid_server *server, struct bid_target *target, const struct bid_snapshot *snapshot,
                            const struct bid_maps_text *text, int memory)
{
    uint64_t room = snapshot->count + BID_VIEW_STACKS;
    struct bid_view *made = calloc(1, sizeof *made + room * sizeof made->ranges[0]);
    if (!made)
        return ENOMEM;
    made->count = snapshot->count;
    for (uint64_t i = 0; i < snapshot->count; i++)
        made->ranges[i] = describe(server, target, memory, &snapshot->ranges[i]);
    if (server->recording->flags & BID_PROFILE_STACKS)
        bid_view_stacks(made, text);
    int error = publish(server, target, made);
    free(made);
    return error;
}

/* Whether the process still has the recording mapped; else it runs another program by now. */
static int has_recording(const struct bid_server *server, const struct bid_maps_text *text)
{
    struct bid_maps_line line;
    if (!server->inode)
        return 1;
    for (size_t position = 0; bid_maps_text_next(text, &position, &line);)
        if (line.inode == server->inode && line.device == server->device)
            return 1;
    return 0;
}

/* Once the files of /proc are open they stay those of that process: so it is asked afterwards
 * whether it is the right one. */
int bid_view_refresh(struct bid_server *server, struct bid_target *target)
{
    struct bid_maps_text text;
    struct bid_snapshot *snapshot = NULL;
    uint64_t look = bid_add(&target->slot->looks, 1, memory_order_seq_cst) + 1; /* (L) pairs with is_old_enough() */
    int error = bid_process_maps(target->pid, &text);
    if (error)
        return error;
    int memory = bid_process_memory(target->pid);
    if (bid_process_start_time(target->pid) != target->start_time || !has_recording(server, &text))
        error = ESRCH;
    else if (bid_snapshot_make(&snapshot, &text) != BID_OK)
        error = ENOMEM;
    else {
        error = make_and_publish(server, target, snapshot, &text, memory);
        bid_platform_unmap(snapshot, snapshot->bytes);
    }
    if (!error)
        bid_store(&target->slot->confirmed, look, memory_order_release); /* (L) pairs with bid_agent_sample() */
    if (memory >= 0)
        close(memory);
    free(text.text);
    return error;
}

/* ------------------------------------------------------------------------------------------- for comparison -- */

/* What keeps a page in memory: that it is not on disk yet, as in a program that was just compiled; and that the
 * list of another CPU holds it, for a moment or until that CPU reads more files. To drop a page that is mapped,
 * posix_fadvise() tries in vain, and empties these lists for that (mm/fadvise.c of Linux). */
static void let_go(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    sync_file_range(fd, 0, HEADER, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(fd, 0, HEADER, POSIX_FADV_DONTNEED);
    close(fd);
}

/* The kernel drops the page if no other process has it mapped. `process`: a pidfd, or -1 for this process. */
static int evict(const struct bid_server *server, int process, const struct bid_view_range *range)
{
    struct iovec header = {.iov_base = (void *)(uintptr_t)range->header, .iov_len = HEADER};
    const char *path = bid_module_path(server, range->module);
    if (!range->header || path[0] != '/')
        return 0;
    let_go(path);
    if (process < 0)
        return madvise(header.iov_base, header.iov_len, MADV_PAGEOUT);
    return (int)syscall(SYS_process_madvise, process, &header, 1, MADV_PAGEOUT, 0);
}

void bid_view_evict(struct bid_server *server, struct bid_target *target)
{
    const struct bid_view *view = view_at(server, target->view);
    int process = target->pid == getpid() ? -1 : (int)syscall(SYS_pidfd_open, target->pid, 0);
    if (process < 0 && target->pid != getpid())
        return;
    for (uint64_t i = 0; target->view && i < view->count; i++)
        if (evict(server, process, &view->ranges[i]) < 0 && errno != ESRCH)
            server->recording->evict_error = errno;
    if (process >= 0)
        close(process);
}
