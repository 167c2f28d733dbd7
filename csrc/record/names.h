/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The file in which a process names the code that it makes: tmp/perf-PID.map below its root directory. A reader reads
 * it: the request goes to its socket. Messages with the text come back, each with 'D' before it, and then the answer.
 */
#ifndef BID_NAMES_H
#define BID_NAMES_H

#include <stdint.h>

#define BID_NAMES_OWNERS 3

struct bid_names_state {
    uint64_t inode, size;
    int64_t mtime_ns; /* since 1970 */
};

struct bid_names_request {
    char root[64];                     /* a directory; no link below it is followed */
    char name[32];                     /* of the file in its tmp */
    struct bid_names_state known;      /* in this state it is not read again */
    int64_t since_ns;                  /* an older file is another process's */
    uint64_t most;                     /* bytes: a larger one is not read */
    uint32_t owners[BID_NAMES_OWNERS]; /* the users whose files are believed */
    uint32_t reserved;
};

struct bid_names_answer {
    uint8_t kind;  /* 'E' */
    uint8_t found; /* 1: the text is what came before; 0: there is no such file, or it has not changed */
    struct bid_names_state state;
};

#define BID_NAMES_MESSAGE 65537 /* bytes at most */

/* The reader's side: reads the file, and answers. As a signal handler would: see reader.c. */
void bid_names_read(int socket, const struct bid_names_request *request);

#endif
