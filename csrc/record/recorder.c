/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The recorder: its thread answers what the programs ask for, at once, and collects samples ten times a second.
 *
 * The thread alone uses files, stacks and `counted` while it runs; others read what it has `shown`, under a lock.
 */
#define _GNU_SOURCE
#include "asking.h"
#include "recording.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BID_SAMPLES_BYTES (1u << 22) /* of the rings, as record.bpf.c has them */
#define BID_EVENTS_BYTES (1u << 20)
#define BID_COLLECT_MS 100
#define BID_LEARN_TURNS 16
#define BID_AGAIN 64               /* processes that were scanned lately */
#define BID_AGAIN_NS 1000000000ull /* between two scans of one; twice as long each time */

/* A process that had frames whose mapping was not known: not to be scanned again too soon. */
struct bid_again {
    uint32_t tgid, wanted;
    uint64_t next, wait;
};

struct bid_recorder {
    struct bid_recorder_options options;
    struct bid_bpf_region *region;
    struct bid_programs programs;
    struct bid_sampling sampling;
    struct bid_ring samples, events;
    struct bid_files files;
    struct bid_stacks stacks;
    struct bid_again again[BID_AGAIN];
    uint64_t missed;
    struct bid_recorder_status counted, shown;
    uint32_t made[BID_MADE], made_count; /* as `shown` */
    pthread_mutex_t showing;
    pthread_t thread;
    int running, wake; /* an eventfd: the thread is to end */
};

static uint64_t bid_now(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ----------------------------------------------------------------------------------------- collecting -- */

static void bid_want_scan(struct bid_recorder *recorder, uint32_t tgid)
{
    struct bid_again *again = &recorder->again[tgid % BID_AGAIN];
    if (!recorder->programs.areas)
        return;
    if (again->tgid != tgid)
        *again = (struct bid_again){.tgid = tgid};
    again->wanted = 1;
}

/* Scans the processes that need it, but no one of them again and again: of some frames no mapping will ever be known,
 * for they are no frames. */
static void bid_scan_wanted(struct bid_recorder *recorder)
{
    uint64_t now = bid_now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < BID_AGAIN; i++) {
        struct bid_again *again = &recorder->again[i];
        if (!again->wanted || now < again->next)
            continue;
        bid_programs_scan(&recorder->programs, again->tgid);
        recorder->counted.scans++;
        again->wait = again->wait ? 2 * again->wait : BID_AGAIN_NS;
        again->next = now + again->wait;
        again->wanted = 0;
    }
}

static void bid_on_event(void *argument, const void *record, size_t bytes)
{
    struct bid_recorder *recorder = argument;
    const struct bid_event *event = record;
    if (bytes < sizeof *event)
        return;
    if (event->kind == BID_EVENT_FILE)
        bid_files_learn(&recorder->files, event);
    else if (event->kind == BID_EVENT_SCAN)
        bid_want_scan(recorder, event->tgid);
    else if (event->kind == BID_EVENT_EVICTED) /* only this state: another may have the address by now */
        bid_remove_generation(bid_bpf_region_table(recorder->region), event->file.inode, event->file.tag);
}

/* A hook was passed over, and there is no iterator to set right what it left wrong. */
static int bid_spaces_are_wrong(const struct bid_recorder *recorder)
{
    return recorder->missed && !recorder->programs.areas;
}

static struct bid_recorded_frame bid_user_frame(struct bid_recorder *recorder, uint32_t tgid,
                                                const struct bid_frame *frame)
{
    uint8_t reason = frame->reason < BID_FRAME_REASONS ? frame->reason : BID_FRAME_ERROR;
    uint8_t source = frame->source < BID_SOURCES ? frame->source : BID_SOURCE_NONE;
    if (source == BID_SOURCE_TABLE && bid_spaces_are_wrong(recorder)) {
        recorder->counted.outcomes[BID_FRAME_CHANGING * BID_SOURCES + BID_SOURCE_NONE]++;
        return (struct bid_recorded_frame){.address = frame->ip, .reason = BID_FRAME_CHANGING};
    }
    if (reason == BID_FRAME_ABSENT && bid_files_are_silent(&recorder->files, frame))
        reason = BID_FRAME_NO_ANSWER;
    recorder->counted.outcomes[reason * BID_SOURCES + source]++;
    if (reason == BID_FRAME_NO_SPACE || reason == BID_FRAME_NO_ANSWER ||
        (source == BID_SOURCE_KERNEL && reason != BID_FRAME_CHANGING))
        bid_want_scan(recorder, tgid);
    uint32_t file = bid_files_of(&recorder->files, frame);
    uint64_t address = !file ? frame->ip : source == BID_SOURCE_KERNEL ? frame->offset : frame->place;
    return (struct bid_recorded_frame){.address = address, .file = file, .reason = reason, .source = source};
}

/* Code that no file has: the instruction pointer is in code for sure, other frames are if memory is mapped there. */
static int bid_is_made(const struct bid_recorded_frame *frame, uint32_t depth)
{
    return !frame->file && (frame->reason == BID_FRAME_NO_FILE || depth == 0);
}

static void bid_note_made(struct bid_recorder *recorder, uint32_t tgid)
{
    for (uint32_t i = 0; i < recorder->made_count; i++) /* only this thread writes it */
        if (recorder->made[i] == tgid)
            return;
    if (recorder->made_count == BID_MADE)
        return;
    pthread_mutex_lock(&recorder->showing);
    recorder->made[recorder->made_count++] = tgid;
    pthread_mutex_unlock(&recorder->showing);
}

static void bid_on_sample(void *argument, const void *record, size_t bytes)
{
    struct bid_recorder *recorder = argument;
    const struct bid_sample *sample = record;
    const struct bid_frame *user = (const struct bid_frame *)(sample + 1);
    struct bid_recorded_frame frames[2 * BID_STACK_FRAMES];
    uint32_t depth = 0;
    int made = 0;
    if (bytes < sizeof *sample || sample->user > BID_STACK_FRAMES || sample->kernel > BID_STACK_FRAMES ||
        bytes < sizeof *sample + sample->user * sizeof *user + sample->kernel * sizeof(uint64_t))
        return;
    const uint64_t *kernel = (const uint64_t *)(user + sample->user);
    for (uint32_t i = 0; i < sample->kernel; i++)
        frames[depth++] = (struct bid_recorded_frame){.address = kernel[i], .kernel = 1};
    for (uint32_t i = 0; i < sample->user; i++) {
        frames[depth] = bid_user_frame(recorder, sample->tgid, &user[i]);
        made |= bid_is_made(&frames[depth++], i);
    }
    if (made)
        bid_note_made(recorder, sample->tgid);
    bid_stacks_add(&recorder->stacks, sample, frames, depth);
    recorder->counted.collected++;
    recorder->counted.frames += sample->user;
}

/* A hook that was passed over (its program was running on that CPU already) may have left a space wrong: the iterator
 * goes through all mappings, and sets each right. */
static void bid_look_for_missed(struct bid_recorder *recorder)
{
    uint64_t missed = bid_programs_missed(&recorder->programs);
    if (missed == recorder->missed)
        return;
    recorder->missed = missed;
    recorder->counted.resyncs++;
    bid_programs_scan(&recorder->programs, 0);
}

static void bid_show(struct bid_recorder *recorder)
{
    struct bid_recorder_status *counted = &recorder->counted;
    counted->stacks = recorder->stacks.count;
    counted->files = recorder->files.count;
    counted->files_read = recorder->files.read;
    counted->files_unreadable = recorder->files.unreadable;
    counted->files_denied = recorder->files.denied;
    counted->files_changed = recorder->files.changed;
    counted->files_refused = recorder->files.refused;
    counted->files_silent = recorder->files.silent;
    counted->no_memory = recorder->stacks.lost;
    counted->cpu_ns = bid_now(CLOCK_THREAD_CPUTIME_ID) + recorder->files.asking->cpu_ns;
    pthread_mutex_lock(&recorder->showing);
    recorder->shown = *counted;
    pthread_mutex_unlock(&recorder->showing);
}

static void bid_collect(struct bid_recorder *recorder)
{
    bid_look_for_missed(recorder);
    bid_asking_go(recorder->files.asking);
    bid_ring_drain(&recorder->samples, bid_on_sample, recorder);
    bid_scan_wanted(recorder);
    bid_show(recorder);
}

static void *bid_recorder_run(void *argument)
{
    struct bid_recorder *recorder = argument;
    struct pollfd polled[2 + BID_READERS] = {{.fd = recorder->events.fd, .events = POLLIN},
                                             {.fd = recorder->wake, .events = POLLIN}};
    uint64_t next = 0;
    while (!polled[1].revents) {
        uint64_t now = bid_now(CLOCK_MONOTONIC);
        if (now >= next) {
            bid_collect(recorder);
            next = now + BID_COLLECT_MS * 1000000ull;
        }
        if (recorder->options.flags & BID_RECORD_RESCAN)
            bid_programs_scan(&recorder->programs, 0);
        bid_asking_poll(recorder->files.asking, &polled[2]);
        poll(polled, 2 + BID_READERS, recorder->options.flags & BID_RECORD_RESCAN ? 0 : BID_COLLECT_MS);
        bid_asking_go(recorder->files.asking);
        if (bid_ring_drain(&recorder->events, bid_on_event, recorder))
            bid_scan_wanted(recorder);
    }
    bid_ring_drain(&recorder->events, bid_on_event, recorder);
    bid_asking_finish(recorder->files.asking, 1);
    bid_collect(recorder);
    return NULL;
}

/* --------------------------------------------------------------------------------------------- set up -- */

/* The mappings of all processes, and the build IDs of their files. Every process asks for each of its files until the
 * table has it, so there may be more to ask for than there is room. */
static int bid_recorder_learn(struct bid_recorder *recorder)
{
    uint64_t counts[BID_COUNTS], lost;
    for (unsigned turn = 0; turn < BID_LEARN_TURNS; turn++) {
        bid_programs_counts(&recorder->programs, counts);
        lost = counts[BID_COUNT_EVENTS_LOST];
        if (bid_programs_scan(&recorder->programs, 0))
            return -1;
        bid_ring_drain(&recorder->events, bid_on_event, recorder);
        bid_programs_counts(&recorder->programs, counts);
        if (counts[BID_COUNT_EVENTS_LOST] == lost)
            break;
    }
    bid_asking_finish(recorder->files.asking, 0);
    return 0;
}

static int bid_recorder_open(struct bid_recorder *recorder, const void *object, size_t size, struct bid_why *why)
{
    if (bid_files_open(&recorder->files))
        return bid_why(why, errno, "no process can be had that reads files (%s)", strerror(errno));
    int status = bid_bpf_region_create(&recorder->region, recorder->options.region_bytes);
    if (status == BID_E_UNSUPPORTED && (errno == EPERM || errno == EACCES))
        return bid_why(why, errno, "the kernel does not let this user make BPF maps: run as root, or with CAP_BPF");
    if (status != BID_OK)
        return bid_why(why, errno ? errno : EINVAL, "the memory for the table cannot be had (%s): less --memory may do",
                       bid_status_text(status));
    recorder->files.region = recorder->region;
    const struct bid_record_settings settings = {.flags = recorder->options.flags,
                                                 .self = (uint32_t)getpid(),
                                                 .keeper = (uint32_t)recorder->files.asking->keeper.pid};
    if (bid_programs_open(&recorder->programs, object, size, &settings, bid_bpf_region_fd(recorder->region), why))
        return -1;
    const struct bid_libbpf *libbpf = recorder->programs.libbpf;
    struct bpf_object *loaded = recorder->programs.object;
    int samples = libbpf->bpf_map__fd(libbpf->bpf_object__find_map_by_name(loaded, "samples"));
    int events = libbpf->bpf_map__fd(libbpf->bpf_object__find_map_by_name(loaded, "events"));
    recorder->wake = eventfd(0, EFD_CLOEXEC);
    if (bid_ring_open(&recorder->samples, samples, BID_SAMPLES_BYTES) ||
        bid_ring_open(&recorder->events, events, BID_EVENTS_BYTES) || recorder->wake < 0)
        return bid_why(why, errno, "the ring buffers cannot be mapped (%s)", strerror(errno));
    if (bid_stacks_open(&recorder->stacks))
        return bid_why(why, ENOMEM, "out of memory");
    if (bid_recorder_learn(recorder))
        return bid_why(why, errno, "the mappings of the processes cannot be read (%s)", strerror(errno));
    errno = pthread_create(&recorder->thread, NULL, bid_recorder_run, recorder);
    if (errno)
        return bid_why(why, errno, "no thread can be had (%s)", strerror(errno));
    recorder->running = 1;
    return 0;
}

struct bid_recorder *bid_recorder_create(const void *object, size_t size, const struct bid_recorder_options *options,
                                         char *why, size_t why_size)
{
    struct bid_why reason = {why, why_size};
    struct bid_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) {
        bid_why(&reason, ENOMEM, "out of memory");
        return NULL;
    }
    recorder->options = *options;
    recorder->wake = -1;
    pthread_mutex_init(&recorder->showing, NULL);
    if (bid_recorder_open(recorder, object, size, &reason)) {
        int error = errno;
        bid_recorder_destroy(recorder);
        errno = error;
        return NULL;
    }
    return recorder;
}

int bid_recorder_target(struct bid_recorder *recorder, uint32_t pid)
{
    uint8_t one = 1;
    return bid_map_update(recorder->programs.targets, &pid, &one);
}

int bid_recorder_start(struct bid_recorder *recorder, char *why, size_t why_size)
{
    struct bid_why reason = {why, why_size};
    if (bid_sampling_open(&recorder->sampling, &recorder->options, recorder->programs.sample, &reason) == 0)
        return 0;
    int error = errno;
    bid_sampling_close(&recorder->sampling);
    errno = error;
    return -1;
}

struct bid_table *bid_recorder_table(const struct bid_recorder *recorder)
{
    return bid_bpf_region_table(recorder->region);
}

void bid_recorder_stop(struct bid_recorder *recorder)
{
    uint64_t one = 1;
    bid_sampling_close(&recorder->sampling);
    if (!recorder->running)
        return;
    if (write(recorder->wake, &one, sizeof one) == sizeof one)
        pthread_join(recorder->thread, NULL);
    recorder->running = 0;
}

void bid_recorder_destroy(struct bid_recorder *recorder)
{
    if (!recorder)
        return;
    bid_recorder_stop(recorder);
    bid_programs_close(&recorder->programs);
    bid_ring_close(&recorder->samples);
    bid_ring_close(&recorder->events);
    if (recorder->wake >= 0)
        close(recorder->wake);
    bid_files_close(&recorder->files);
    bid_stacks_close(&recorder->stacks);
    bid_bpf_region_destroy(recorder->region);
    free(recorder);
}

/* -------------------------------------------------------------------------------------------- results -- */

void bid_recorder_status(struct bid_recorder *recorder, struct bid_recorder_status *status)
{
    pthread_mutex_lock(&recorder->showing);
    *status = recorder->shown;
    pthread_mutex_unlock(&recorder->showing);
    status->entries = bid_count(bid_bpf_region_table(recorder->region));
    status->cpus = recorder->sampling.cpus;
    status->hardware = (uint32_t)recorder->sampling.hardware;
    status->areas = (uint32_t)recorder->programs.areas;
    bid_programs_counts(&recorder->programs, status->counts);
}

uint32_t bid_recorder_made(struct bid_recorder *recorder, uint32_t *processes)
{
    pthread_mutex_lock(&recorder->showing);
    uint32_t count = recorder->made_count;
    memcpy(processes, recorder->made, count * sizeof *processes);
    pthread_mutex_unlock(&recorder->showing);
    return count;
}

int bid_recorder_reader(const struct bid_recorder *recorder)
{
    return bid_reader_open(&recorder->files.asking->keeper);
}

void bid_recorder_result(const struct bid_recorder *recorder, struct bid_recorder_result *result)
{
    *result = (struct bid_recorder_result){
        .stacks = recorder->stacks.stacks,
        .frames = recorder->stacks.frames,
        .files = recorder->files.files,
        .stack_count = recorder->stacks.count,
        .frame_count = recorder->stacks.frame_count,
        .file_count = recorder->files.count,
    };
}
