/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inside the study: how timing.c and floor.c time. */
#ifndef BID_CHUNKS_H
#define BID_CHUNKS_H

#include "timing.h"

/* TIMING_CHUNK operations. Returns enum timing_status. */
typedef int (*timing_chunk)(void *argument);

/* Times chunks, after some that are not timed, for min_ns at least. */
int timing_chunks(timing_chunk chunk, void *argument, uint64_t min_ns, struct timing *timing);

/* A random number below a limit. */
size_t timing_below(uint64_t *state, size_t limit);

#endif
