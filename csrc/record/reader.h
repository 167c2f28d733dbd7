/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Processes that open and read files of other processes in the recorder's stead. A file system that does not answer
 * holds whoever asks it, and not even SIGKILL ends that. So the recorder must not ask: a reader does, which has nothing
 * of the recorder but its end of a socket. A reader that does not come back is left alone, and a new one takes its
 * place.
 *
 *     recorder ── keeper: makes readers, reads no file, and is always there to do so
 *                  ├── reader
 *                  └── reader
 *
 * The keeper is made before there are maps and programs, so neither it nor a reader keeps any of them. It ends when the
 * recorder's end of its socket is closed, however the recorder ended. Readers are killed when the keeper ends.
 */
#ifndef BID_READER_H
#define BID_READER_H

#include "bid/build_id.h"
#include "names.h"
#include "record.h"

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

struct bid_keeper {
    int control; /* a socket; -1: there is no keeper */
    pid_t pid;
};

/* For a build ID. Readers take struct bid_names_request as well, and tell the two apart by their sizes. */
struct bid_read_request {
    char link[64]; /* of the mapping: /proc/PID/map_files/START-END */
    struct bid_file_state state;
};

struct bid_read_answer {
    int32_t status; /* enum bid_elf_status; BID_ELF_E_IO: see error */
    int32_t error;  /* errno; 0: there was none */
    int32_t same;   /* whether the file was in the state that was asked for */
    uint32_t id_length;
    uint64_t id_offset;
    uint64_t cpu_ns; /* CPU time of this reader so far */
    uint8_t id[BID_ID_MAX];
    char path[PATH_MAX + 16]; /* "" if it is not known. Only as many bytes are sent as it has */
};

/* Makes the keeper: a copy of this process that runs nothing of it, takes none of its signals, and sends it none when
 * it ends. Returns: 0, or -1 and errno. */
int bid_keeper_open(struct bid_keeper *keeper);
void bid_keeper_close(struct bid_keeper *keeper);

/* Makes a reader. It takes one request at a time from the socket, and answers. It ends when the socket is closed.
 * Returns: the socket, or -1 and errno. */
int bid_reader_open(const struct bid_keeper *keeper);

#endif
