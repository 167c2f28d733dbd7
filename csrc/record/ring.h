/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The reader's side of a BPF ring buffer, as the kernel documents it (Documentation/bpf/ringbuf.rst). */
#ifndef BID_RING_H
#define BID_RING_H

#include <stddef.h>
#include <stdint.h>

struct bid_ring {
    int fd; /* of the map; readable in poll() when there is something */
    size_t bytes;
    uint64_t *consumer, *producer;
    char *data; /* mapped twice in a row, so no record is cut */
};

typedef void (*bid_ring_visit)(void *argument, const void *record, size_t bytes);

/* 0, or -1 with errno. */
int bid_ring_open(struct bid_ring *ring, int fd, size_t bytes);
void bid_ring_close(struct bid_ring *ring);

/* Hands over every record that is complete, and gives their room back. Returns how many. */
uint64_t bid_ring_drain(struct bid_ring *ring, bid_ring_visit visit, void *argument);

#endif
