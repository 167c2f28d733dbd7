/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A system-wide sampling profiler: BPF programs take stacks and resolve them on the spot, a thread of this process
 * keeps the table and collects. Everything lives by descriptors of the process, so it goes with the process however it
 * ends.
 *
 *     recorder = bid_recorder_create(object, size, &options, why, sizeof why);
 *     bid_recorder_target(recorder, pid);              with BID_RECORD_ONLY
 *     bid_recorder_start(recorder, why, sizeof why);
 *     ... bid_recorder_status() ...
 *     bid_recorder_stop(recorder);
 *     bid_recorder_result(recorder, &result);
 *     bid_recorder_destroy(recorder);
 *
 * One thread calls these. Functions that return int return 0, or -1 with errno and a sentence in `why` that says what
 * is missing and what would help.
 */
#ifndef BID_RECORDER_H
#define BID_RECORDER_H

#include "files.h"
#include "names.h"
#include "stacks.h"

#include <stddef.h>
#include <stdint.h>

#ifndef BID_EXPORTED
#define BID_EXPORTED
#endif

struct bid_recorder_options {
    uint64_t region_bytes; /* of the memory that the table is in; 0: BID_BPF_REGION_DEFAULT */
    uint64_t breakpoint;   /* the address of kernel data: samples are taken when it is written, in NMI context; 0: by
                              time */
    uint32_t frequency;    /* samples a second on each CPU */
    uint32_t flags;        /* BID_RECORD_... */
    uint32_t clock;        /* 1: by the clock even where there is a hardware counter */
    uint32_t reserved;
};

#define BID_OUTCOMES (BID_FRAME_REASONS * BID_SOURCES)

struct bid_recorder_status {
    uint64_t counts[BID_COUNTS];     /* enum bid_record_count, of all CPUs */
    uint64_t frames;                 /* user frames collected */
    uint64_t outcomes[BID_OUTCOMES]; /* of these: [reason * BID_SOURCES + source] */
    uint64_t stacks, files, entries; /* different stacks; files known; entries of the table */
    /* As of struct bid_files. */
    uint64_t files_read, files_unreadable, files_denied, files_changed, files_refused, files_silent;
    uint64_t scans;     /* of one process's mappings */
    uint64_t resyncs;   /* times that all spaces were made anew, for a hook had been passed over */
    uint64_t collected; /* samples */
    uint64_t no_memory; /* samples that were lost to want of memory of this process */
    uint64_t cpu_ns;    /* CPU time of the collecting thread, and of the processes that read files for it */
    uint32_t cpus;      /* on which samples are taken */
    uint32_t hardware;  /* 1: by a hardware counter of cycles */
    uint32_t areas;     /* 0: processes that were there before take the kernel's answers: the iterator is unsafe here */
    uint32_t reserved;
};

struct bid_recorder_result {
    const struct bid_recorded_stack *stacks;
    const struct bid_recorded_frame *frames;
    const struct bid_recorded_file *files;
    uint64_t stack_count, frame_count, file_count;
};

struct bid_recorder;

/* Loads and attaches everything but the samples, and enters the mappings of all processes.
 * Returns: NULL with errno and why: ENOENT (no libbpf), ENOTSUP (the kernel lacks something), EPERM, or another. */
BID_EXPORTED struct bid_recorder *bid_recorder_create(const void *object, size_t size,
                                                      const struct bid_recorder_options *options, char *why,
                                                      size_t why_size);

/* With BID_RECORD_ONLY: samples this process, and those that it will start. */
BID_EXPORTED int bid_recorder_target(struct bid_recorder *recorder, uint32_t pid);

BID_EXPORTED int bid_recorder_start(struct bid_recorder *recorder, char *why, size_t why_size);
BID_EXPORTED void bid_recorder_status(struct bid_recorder *recorder, struct bid_recorder_status *status);

#define BID_MADE 1024u /* processes that are told of */

/* The processes in which code was seen that no file has: of which they may have told the names. Each once, in the order
 * in which they were seen. Of more than BID_MADE the later ones are left out.
 * Context: any thread. processes: room for BID_MADE numbers.
 * Returns: how many there are. */
BID_EXPORTED uint32_t bid_recorder_made(struct bid_recorder *recorder, uint32_t *processes);

/* Makes a process that takes struct bid_names_request from a socket: it reads files that may not answer. See names.h.
 * Context: any thread. Returns: the socket, which the caller closes, or -1 and errno. */
BID_EXPORTED int bid_recorder_reader(const struct bid_recorder *recorder);

/* The table, which the recorder owns. */
BID_EXPORTED struct bid_table *bid_recorder_table(const struct bid_recorder *recorder);

/* Ends sampling, and collects what was sampled. */
BID_EXPORTED void bid_recorder_stop(struct bid_recorder *recorder);

/* Valid until destroy; only after stop. */
BID_EXPORTED void bid_recorder_result(const struct bid_recorder *recorder, struct bid_recorder_result *result);

BID_EXPORTED void bid_recorder_destroy(struct bid_recorder *recorder);

#endif
