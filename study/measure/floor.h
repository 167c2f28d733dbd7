/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Times what is no design, in the way of timing.h: loads from a bare array, and glibc's lookup of loaded objects. */
#ifndef BID_FLOOR_H
#define BID_FLOOR_H

#include "timing.h"

/* The floor: an array of lines of a cache line each, over as many bytes as asked for; loads at drawn places, and
 * along a random cycle through all of them. */
struct timing_array;
struct timing_array *timing_array_create(size_t bytes, int huge, uint64_t seed);
void timing_array_destroy(struct timing_array *array);
int timing_array_loads(struct timing_array *array, uint64_t min_ns, struct timing *timing);
int timing_array_chain(struct timing_array *array, uint64_t min_ns, struct timing *timing);

/* Addresses of drawn lines: as many as asked for, at most 1,024. */
void timing_array_draws(const struct timing_array *array, uint64_t *addresses, size_t n);

/* glibc's _dl_find_object(): draws->keys are addresses inside loaded objects, and the sums are of the objects'
 * starts. */
int timing_loaded(const struct timing_draws *draws, uint64_t min_ns, struct timing *timing);

/* The start of the loaded object that an address is in; 0: there is none, or glibc is older than 2.35. */
uint64_t timing_loaded_start(uint64_t address);

#endif
