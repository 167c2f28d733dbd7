/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The stacks of a recording, each once, with how often it was seen. */
#ifndef BID_STACKS_H
#define BID_STACKS_H

#include "record.h"

struct bid_recorded_frame {
    uint64_t address; /* offset in the file; without a file, and in the kernel, the address */
    uint32_t file;    /* number, 0: none */
    uint8_t reason;   /* enum bid_frame_reason */
    uint8_t source;   /* enum bid_frame_source */
    uint8_t kernel;   /* 1: a frame of the kernel */
    uint8_t reserved;
};

struct bid_recorded_stack {
    uint64_t count;
    uint64_t first; /* its frames are frames[first] to frames[first + depth - 1], the innermost first, of these those of
                       the kernel first */
    uint32_t depth;
    uint32_t tgid;
    char command[16];
};

struct bid_stacks {
    struct bid_recorded_stack *stacks;
    struct bid_recorded_frame *frames;
    uint64_t *hashes; /* of each stack */
    uint32_t *places; /* by hash: a number of a stack, 0: free */
    uint64_t count, room, slots, frame_count, frame_room;
    uint64_t lost; /* samples for which there was no memory */
};

int bid_stacks_open(struct bid_stacks *stacks);
void bid_stacks_close(struct bid_stacks *stacks);

/* Counts one sample. */
void bid_stacks_add(struct bid_stacks *stacks, const struct bid_sample *sample, const struct bid_recorded_frame *frames,
                    uint32_t depth);

#endif
