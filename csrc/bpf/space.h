/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Address spaces and stacks, as BPF programs and processes see them: from an instruction pointer of any process to
 * (build ID, file offset). space.bpf.h has the programs' side.
 */
#ifndef BID_SPACE_H
#define BID_SPACE_H

#include <stddef.h>
#include <stdint.h>

#define BID_PAGE_SHIFT 12    /* of the pages that the kernel counts offsets in */
#define BID_STACK_FRAMES 127 /* PERF_MAX_STACK_DEPTH */
#define BID_SPACE_RANGES 62  /* executable ranges in one block */
#define BID_SPACE_BLOCKS 16  /* of one address space: 992 ranges */

/* An executable range. An empty one has end 0. */
struct bid_range {
    uint64_t start, end;
    uint64_t inode; /* its address: the key in the table; 0: memory without a file */
    uint32_t page;  /* of the file, at start */
    uint32_t tag;   /* of the inode's state when it was mapped: the generation in the table; see bid_tag() */
};

/* The ranges of one address space (an mm), 62 to a block. Block i has the key mm + i in the map of spaces.
 * Only whoever holds the mmap lock of the mm writes, so there is one writer. A reader takes the sequence before and
 * after, as of a seqlock; it never waits. */
struct bid_space {
    uint64_t sequence; /* of block 0: odd while any block is being changed */
    uint64_t blocks;   /* of block 0: how many there are */
    uint64_t used;     /* ranges of this block from here on have never been used */
    uint64_t reserved[5];
    struct bid_range ranges[BID_SPACE_RANGES];
};
_Static_assert(sizeof(struct bid_range) == 32 && sizeof(struct bid_space) == 2048,
               "what the programs and maps count on");

/* What became of a frame. All but the first are reasons why the table gave no build ID. */
enum bid_frame_reason {
    BID_FRAME_OK = 0,
    BID_FRAME_NO_SPACE = 1,    /* the address space is not known yet */
    BID_FRAME_NO_RANGE = 2,    /* the address is in no executable range that is known */
    BID_FRAME_CHANGING = 3,    /* the mappings were being changed at that moment */
    BID_FRAME_NO_FILE = 4,     /* memory without a file: compiled at run time, the vDSO */
    BID_FRAME_ABSENT = 5,      /* the table does not have the file yet, or it could not be read */
    BID_FRAME_STALE = 6,       /* the table has another state of the file */
    BID_FRAME_NO_BUILD_ID = 7, /* the file is known to have none */
    BID_FRAME_LONG_ID = 8,     /* longer than the 20 bytes that struct bpf_stack_build_id has room for */
    BID_FRAME_ERROR = 9,       /* the region is damaged */
    BID_FRAME_NO_ANSWER = 10,  /* the file's system does not answer: a recorder says so, no program does */
    BID_FRAME_REASONS = 11,
};

enum bid_frame_source { BID_SOURCE_NONE = 0, BID_SOURCE_TABLE = 1, BID_SOURCE_KERNEL = 2, BID_SOURCES = 3 };

/* A frame begins as the kernel's struct bpf_stack_build_id. */
struct bid_frame {
    int32_t status; /* BPF_STACK_BUILD_ID_VALID or BPF_STACK_BUILD_ID_IP */
    uint8_t build_id[20];
    uint64_t offset; /* of the file; with BPF_STACK_BUILD_ID_IP the instruction pointer */
    uint64_t ip;
    uint64_t inode; /* as in struct bid_range, where the range is known; else 0 */
    uint32_t tag;
    uint8_t reason; /* enum bid_frame_reason, of the table's answer */
    uint8_t source; /* enum bid_frame_source, of the build ID that is here */
    uint8_t reserved[2];
    uint64_t place; /* offset in the file, where the range is known, whatever became of the rest */
};
_Static_assert(sizeof(struct bid_frame) == 64, "of this size they are handed to the process");

#endif
