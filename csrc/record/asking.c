/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Asking readers. Of the files of one device one is asked for at a time, so a device that does not answer takes one
 * reader. Nothing here waits for longer than BID_SOON, but for bid_asking_finish(), which waits for BID_FINISH.
 */
#define _GNU_SOURCE
#include "asking.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BID_SECOND 1000000000ull
#define BID_SOON (BID_SECOND / 20)  /* for an answer to be waited for */
#define BID_SLOW (BID_SECOND / 2)   /* before it is said that it does not come */
#define BID_LATE (5 * BID_SECOND)   /* for it to come at all */
#define BID_PEACE (10 * BID_SECOND) /* before a device that did not answer is asked again; twice as long each time */
#define BID_FINISH BID_SECOND

static uint64_t bid_asking_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BID_SECOND + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------------ silent devices -- */

static struct bid_silent *bid_silent_find(struct bid_asking *asking, uint32_t device)
{
    for (struct bid_silent *silent = asking->silent; silent < asking->silent + BID_SILENT; silent++)
        if (silent->wait && silent->device == device)
            return silent;
    return NULL;
}

static int bid_device_is_silent(struct bid_asking *asking, uint32_t device)
{
    const struct bid_silent *silent = bid_silent_find(asking, device);
    return silent && bid_asking_now() < silent->until;
}

/* If there are too many, the one that would be asked soonest is forgotten. */
static void bid_device_was_silent(struct bid_asking *asking, uint32_t device)
{
    struct bid_silent *silent = bid_silent_find(asking, device);
    if (!silent) {
        silent = asking->silent;
        for (struct bid_silent *other = silent; other < asking->silent + BID_SILENT; other++)
            if (other->until < silent->until)
                silent = other;
        *silent = (struct bid_silent){.device = device};
    }
    silent->wait = silent->wait ? 2 * silent->wait : BID_PEACE;
    silent->until = bid_asking_now() + silent->wait;
}

static void bid_device_answered(struct bid_asking *asking, uint32_t device)
{
    struct bid_silent *silent = bid_silent_find(asking, device);
    if (silent)
        *silent = (struct bid_silent){0};
}

/* -------------------------------------------------------------------------------------------- readers -- */

static void bid_asked_end(struct bid_asked *reader)
{
    close(reader->fd);
    *reader = (struct bid_asked){.fd = -1};
}

/* It is left to itself: it ends when its file system answers, or with the keeper. */
static void bid_asked_fail(struct bid_asking *asking, struct bid_asked *reader)
{
    struct bid_event event = reader->event;
    bid_asked_end(reader);
    asking->answered(asking->argument, &event, NULL);
}

/* Takes the answer of a busy reader, if it has come. */
static void bid_asked_take(struct bid_asking *asking, struct bid_asked *reader)
{
    struct bid_read_answer answer;
    ssize_t length = recv(reader->fd, &answer, sizeof answer, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= (ssize_t)offsetof(struct bid_read_answer, path)) {
        bid_asked_fail(asking, reader); /* somebody killed it */
        return;
    }
    asking->cpu_ns += answer.cpu_ns - reader->cpu_ns;
    reader->cpu_ns = answer.cpu_ns;
    reader->busy = reader->slow = 0;
    bid_device_answered(asking, reader->event.file.device);
    asking->answered(asking->argument, &reader->event, &answer);
}

/* The reader that asks a device now; NULL: there is none. */
static struct bid_asked *bid_asked_find(struct bid_asking *asking, uint32_t device)
{
    for (struct bid_asked *reader = asking->readers; reader < asking->readers + BID_READERS; reader++)
        if (reader->busy && reader->event.file.device == device)
            return reader;
    return NULL;
}

/* A reader that is free, a new one if need be. NULL: there is none. */
static struct bid_asked *bid_asked_free(struct bid_asking *asking)
{
    struct bid_asked *found = NULL;
    for (struct bid_asked *reader = asking->readers; reader < asking->readers + BID_READERS; reader++)
        if (!reader->busy && (!found || found->fd < 0))
            found = reader;
    if (found && found->fd < 0)
        found->fd = bid_reader_open(&asking->keeper);
    return found && found->fd >= 0 ? found : NULL;
}

static void bid_asked_start(struct bid_asking *asking, struct bid_asked *reader, const struct bid_event *event)
{
    struct bid_read_request request = {.state = event->file};
    snprintf(request.link, sizeof request.link, "/proc/%u/map_files/%llx-%llx", event->tgid,
             (unsigned long long)event->start, (unsigned long long)event->end);
    reader->event = *event;
    reader->since = bid_asking_now();
    reader->busy = 1;
    if (send(reader->fd, &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        bid_asked_fail(asking, reader);
}

static void bid_asked_wait(struct bid_asking *asking, struct bid_asked *reader)
{
    struct pollfd polled = {.fd = reader->fd, .events = POLLIN};
    poll(&polled, 1, (int)(BID_SOON / 1000000));
    if (polled.revents)
        bid_asked_take(asking, reader);
}

/* --------------------------------------------------------------------------------------------- asking -- */

struct bid_asking *bid_asking_open(bid_answered answered, void *argument)
{
    struct bid_asking *asking = calloc(1, sizeof *asking);
    if (!asking)
        return NULL;
    asking->answered = answered;
    asking->argument = argument;
    for (unsigned i = 0; i < BID_READERS; i++)
        asking->readers[i].fd = -1;
    if (bid_keeper_open(&asking->keeper) == 0)
        return asking;
    int error = errno;
    free(asking);
    errno = error;
    return NULL;
}

void bid_asking_close(struct bid_asking *asking)
{
    if (!asking)
        return;
    for (unsigned i = 0; i < BID_READERS; i++)
        if (asking->readers[i].fd >= 0)
            bid_asked_end(&asking->readers[i]);
    bid_keeper_close(&asking->keeper);
    free(asking);
}

/* Whether this file need not wait for a reader: it was asked for, or will not be. waits: a moment for the answer. */
static int bid_ask_now(struct bid_asking *asking, const struct bid_event *event, int waits)
{
    struct bid_asked *other = bid_asked_find(asking, event->file.device);
    int silent = bid_device_is_silent(asking, event->file.device);
    if (silent || (other && other->slow))
        asking->answered(asking->argument, event, NULL);
    if (silent || other)
        return silent;
    struct bid_asked *reader = bid_asked_free(asking);
    if (!reader)
        return 0;
    bid_asked_start(asking, reader, event);
    if (reader->busy && waits)
        bid_asked_wait(asking, reader);
    return 1;
}

void bid_ask(struct bid_asking *asking, const struct bid_event *event)
{
    if (bid_ask_now(asking, event, 1))
        return;
    if (asking->count < BID_WAITING)
        asking->waiting[asking->count++] = *event;
    else
        asking->answered(asking->argument, event, NULL);
}

void bid_asking_go(struct bid_asking *asking)
{
    uint64_t now = bid_asking_now();
    uint32_t kept = 0;
    for (struct bid_asked *reader = asking->readers; reader < asking->readers + BID_READERS; reader++) {
        if (reader->busy)
            bid_asked_take(asking, reader);
        if (!reader->busy || now < reader->since + BID_SLOW)
            continue;
        if (!reader->slow)
            asking->answered(asking->argument, &reader->event, NULL);
        reader->slow = 1;
        if (now > reader->since + BID_LATE) {
            bid_device_was_silent(asking, reader->event.file.device);
            bid_asked_fail(asking, reader);
        }
    }
    for (uint32_t i = 0; i < asking->count; i++)
        if (!bid_ask_now(asking, &asking->waiting[i], 0))
            asking->waiting[kept++] = asking->waiting[i];
    asking->count = kept;
}

static int bid_asking_is_busy(const struct bid_asking *asking)
{
    int busy = asking->count != 0;
    for (unsigned i = 0; i < BID_READERS; i++)
        busy |= asking->readers[i].busy;
    return busy;
}

void bid_asking_finish(struct bid_asking *asking, int final)
{
    struct pollfd polled[BID_READERS];
    uint64_t end = bid_asking_now() + BID_FINISH;
    while (bid_asking_is_busy(asking) && bid_asking_now() < end) {
        bid_asking_poll(asking, polled);
        poll(polled, BID_READERS, 10);
        bid_asking_go(asking);
    }
    if (!final)
        return;
    for (struct bid_asked *reader = asking->readers; reader < asking->readers + BID_READERS; reader++)
        if (reader->busy)
            bid_asked_fail(asking, reader);
    while (asking->count)
        asking->answered(asking->argument, &asking->waiting[--asking->count], NULL);
}

void bid_asking_poll(const struct bid_asking *asking, struct pollfd *polled)
{
    for (unsigned i = 0; i < BID_READERS; i++)
        polled[i] = (struct pollfd){.fd = asking->readers[i].busy ? asking->readers[i].fd : -1, .events = POLLIN};
}
