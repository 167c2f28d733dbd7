/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The tasks of this system and the files that they hold, as BPF iterators find them in the kernel. Nothing is changed.
 * Everything lives by descriptors of the process, so it goes with the process however it ends.
 *
 *     iterators = bid_iterators_create(object, size, why, sizeof why);
 *     fd = bid_iterators_open(iterators, BID_ITERATE_AREAS);
 *     ... read(fd, records, n * sizeof *records) until it returns 0 ...
 *     close(fd);
 *     bid_iterators_destroy(iterators);
 *
 * Only tasks of the caller's PID namespace, and of those below it, are visited. Tasks that share all their descriptors
 * with the leader of their process are visited by `tasks` alone. The system goes on meanwhile: what is opened, closed,
 * mapped or unmapped while an iterator runs may be told of or not.
 *
 * One thread calls these functions; the descriptors may be read by any.
 */
#ifndef BID_ITERATORS_H
#define BID_ITERATORS_H

#include "holder.h"

#include <stddef.h>

#ifndef BID_EXPORTED
#define BID_EXPORTED
#endif

enum bid_iterator {
    BID_ITERATE_TASKS,       /* a record for each task: process and task are set */
    BID_ITERATE_DESCRIPTORS, /* a record for each open descriptor */
    BID_ITERATE_AREAS,       /* a record for each mapping of a file */
    BID_ITERATORS,
};

struct bid_iterators;

/* Loads the BPF programs from the bytes of iterators.bpf.o.
 * Context: thread. Progress: blocking. Memory: libbpf's, and the kernel's.
 * Returns: NULL with errno and a sentence in why ("what is missing: what would help"): ENOENT (no libbpf), ENOTSUP
 * (this kernel lacks something), EPERM or EACCES, or another. */
BID_EXPORTED struct bid_iterators *bid_iterators_create(const void *object, size_t size, char *why, size_t why_size);

/* A new pass over the system.
 * Context: thread. Progress: blocking.
 * Returns: a descriptor, closed on exec. read(2) gives struct bid_holder, as many as fit; 0 at the end; EAGAIN
 * now and then, after many things without a record: read again. Nothing in the kernel is held between two reads.
 * -1 with errno. */
BID_EXPORTED int bid_iterators_open(const struct bid_iterators *iterators, enum bid_iterator which);

/* Context: thread. iterators: may be NULL. Descriptors that are open may be read on. */
BID_EXPORTED void bid_iterators_destroy(struct bid_iterators *iterators);

#endif
