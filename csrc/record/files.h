/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The files of a recording: their build IDs for the table, and their names for the report. */
#ifndef BID_FILES_H
#define BID_FILES_H

#include "bid/bpf.h"
#include "record.h"

/* One state of one file; or a build ID that only the kernel knew (inode 0). Numbers of files begin with 1. */
struct bid_recorded_file {
    struct bid_file_state state;
    uint8_t id[BID_ID_MAX];
    uint32_t id_length;          /* 0: none */
    int32_t status;              /* enum bid_elf_status; BID_ELF_MORE: it was not read, because its process had ended */
    uint64_t start, end, offset; /* a mapping of it, in the process that had it first; end 0: none is known */
    uint64_t id_offset;          /* of the build ID in the file */
    char *path;                  /* as the process saw it, without " (deleted)"; "" if it is not known */
};

struct bid_files {
    struct bid_bpf_region *region;
    struct bid_recorded_file *files;
    uint32_t *places; /* by hash: a number of a file, 0: free */
    uint32_t count, room, slots;
    uint64_t read, unreadable, denied, changed,
        refused; /* what became of requests; unreadable: the process had ended */
};

int bid_files_open(struct bid_files *files, struct bid_bpf_region *region);
void bid_files_close(struct bid_files *files);

/* A file that the table does not have: reads its build ID through the process that has it mapped. */
void bid_files_learn(struct bid_files *files, const struct bid_event *event);

/* The number of a frame's file; 0: it is in none that is known, or there is no memory. */
uint32_t bid_files_of(struct bid_files *files, const struct bid_frame *frame);

#endif
