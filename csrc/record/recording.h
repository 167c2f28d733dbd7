/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The recorder's parts: programs.c loads and attaches, sampling.c has the perf events, recorder.c collects. */
#ifndef BID_RECORDING_PARTS_H
#define BID_RECORDING_PARTS_H

#include "bid/bpf.h"
#include "libbpf.h"
#include "recorder.h"
#include "ring.h"
#include "why.h"

#include <pthread.h>
#include <stdatomic.h>

#define BID_HOOKS 16

struct bid_programs {
    const struct bid_libbpf *libbpf;
    struct bpf_object *object;
    struct bpf_link *links[BID_HOOKS];
    unsigned link_count;
    int counts, targets, spaces; /* maps */
    int sample, scan, write;     /* programs */
    unsigned possible_cpus;
    int areas; /* whether the iterator over mappings is loaded: see areas.h */
};

struct bid_sampling {
    int *events;
    unsigned count; /* open now */
    unsigned cpus;  /* that are sampled, or were */
    int hardware;
};

int bid_programs_open(struct bid_programs *programs, const void *object, size_t size,
                      const struct bid_record_settings *settings, int region_fd, struct bid_why *why);
void bid_programs_close(struct bid_programs *programs);

/* Runs the iterator over the mappings of a process, or of all (0). Does nothing where it may not be run. 0 or -1. */
int bid_programs_scan(const struct bid_programs *programs, uint32_t tgid);

/* How often the hook at mappings was passed over since it was loaded. */
uint64_t bid_programs_missed(const struct bid_programs *programs);

void bid_programs_counts(const struct bid_programs *programs, uint64_t counts[BID_COUNTS]);
int bid_map_update(int fd, const void *key, const void *value);

int bid_sampling_open(struct bid_sampling *sampling, const struct bid_recorder_options *options, int program,
                      struct bid_why *why);
void bid_sampling_close(struct bid_sampling *sampling);

#endif
