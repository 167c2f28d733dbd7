/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The reader's side of a BPF ring buffer. */
#define _GNU_SOURCE
#include "ring.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

int bid_ring_open(struct bid_ring *ring, int fd, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *ring = (struct bid_ring){.fd = fd, .bytes = bytes};
    void *consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (consumer == MAP_FAILED)
        return -1;
    char *producer = mmap(NULL, page + 2 * bytes, PROT_READ, MAP_SHARED, fd, (off_t)page);
    if (producer == MAP_FAILED) {
        munmap(consumer, page);
        return -1;
    }
    ring->consumer = consumer;
    ring->producer = (uint64_t *)producer;
    ring->data = producer + page;
    return 0;
}

void bid_ring_close(struct bid_ring *ring)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!ring->consumer)
        return;
    munmap(ring->consumer, page);
    munmap(ring->producer, page + 2 * ring->bytes);
    ring->consumer = NULL;
}

/* The kernel's stores are releases: of the producer's position, and of a header when its record is complete. */
uint64_t bid_ring_drain(struct bid_ring *ring, bid_ring_visit visit, void *argument)
{
    uint64_t at = __atomic_load_n(ring->consumer, __ATOMIC_RELAXED), records = 0; /* nobody else writes it */
    uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
    while (at < end) {
        uint32_t *header = (uint32_t *)(ring->data + (at & (ring->bytes - 1)));
        uint32_t length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
        if (length & BPF_RINGBUF_BUSY_BIT)
            break;
        uint32_t bytes = length & ~(uint32_t)BPF_RINGBUF_DISCARD_BIT;
        if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
            visit(argument, (char *)header + BPF_RINGBUF_HDR_SZ, bytes);
            records++;
        }
        at += (bytes + BPF_RINGBUF_HDR_SZ + 7) & ~7ull;
        __atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
    }
    return records;
}
