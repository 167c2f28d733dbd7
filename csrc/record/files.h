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
    uint32_t silent;             /* 1: its file system does not answer */
};

struct bid_asking;

struct bid_files {
    struct bid_bpf_region *region;
    struct bid_asking *asking;
    struct bid_recorded_file *files;
    uint32_t *places; /* by hash: a number of a file, 0: free */
    uint32_t count, room, slots;
    /* What became of requests; unreadable: the process had ended. */
    uint64_t read, unreadable, denied, changed, refused;
    uint64_t silent; /* files whose file system does not answer, by now */
};

/* Makes the process that reads files. To be called before there are maps and programs: see reader.h.
 * Returns: 0, or -1 and errno. */
int bid_files_open(struct bid_files *files);
void bid_files_close(struct bid_files *files);

/* A file that the table does not have: its build ID is read through the process that has it mapped. It may come later,
 * by bid_asking_go(). */
void bid_files_learn(struct bid_files *files, const struct bid_event *event);

/* Whether a frame's file could not be read because its file system does not answer. */
int bid_files_are_silent(struct bid_files *files, const struct bid_frame *frame);

/* The number of a frame's file; 0: it is in none that is known, or there is no memory. */
uint32_t bid_files_of(struct bid_files *files, const struct bid_frame *frame);

#endif
