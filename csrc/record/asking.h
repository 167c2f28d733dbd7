/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Asking readers for build IDs of files. An answer is waited for only as long as files take that are in memory. One
 * that takes longer is taken when it comes: another reader goes on with other files meanwhile. If it does not come, the
 * file's device is left in peace for a while.
 */
#ifndef BID_ASKING_H
#define BID_ASKING_H

#include "reader.h"

#include <poll.h>

#define BID_READERS 4u    /* at most */
#define BID_SILENT 16u    /* devices that are remembered not to answer */
#define BID_WAITING 2048u /* files that wait for a reader */

/* Is told of each file that was asked for, once or more. answer: NULL: its file system does not answer; it may do so
 * later. */
typedef void (*bid_answered)(void *argument, const struct bid_event *event, const struct bid_read_answer *answer);

struct bid_asking {
    struct bid_keeper keeper;
    struct bid_asked {
        int fd;          /* of a reader; -1: there is none */
        int busy, slow;  /* slow: the answer does not come */
        uint64_t since;  /* if busy */
        uint64_t cpu_ns; /* of this reader */
        struct bid_event event;
    } readers[BID_READERS];
    struct bid_silent {
        uint32_t device;
        uint64_t until, wait; /* wait 0: this place is free */
    } silent[BID_SILENT];
    struct bid_event waiting[BID_WAITING];
    uint32_t count;  /* of these */
    uint64_t cpu_ns; /* of all readers */
    bid_answered answered;
    void *argument;
};

/* Makes the process that reads files. To be called before there are maps and programs: see reader.h.
 * Returns: NULL and errno, if there is no memory or no process. */
struct bid_asking *bid_asking_open(bid_answered answered, void *argument);
void bid_asking_close(struct bid_asking *asking);

/* Asks for a file, and waits a moment for the answer. */
void bid_ask(struct bid_asking *asking, const struct bid_event *event);

/* Takes the answers that have come, and asks for the files that wait. */
void bid_asking_go(struct bid_asking *asking);

/* Waits for the answers that are missing, a second at most. final: those that have not come by then will not come. */
void bid_asking_finish(struct bid_asking *asking, int final);

/* Fills polled[BID_READERS] with what bid_asking_go() is to be called for. */
void bid_asking_poll(const struct bid_asking *asking, struct pollfd *polled);

#endif
