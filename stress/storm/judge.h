/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lookups that are judged. `level` is 0 in a thread, and counts how deep handlers are nested in it. A wrong answer is
 * counted, and the first few are kept with their circumstances.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "storm.h"

/* A call of the table, between judge_enter() and judge_leave(): counted, marked, and quiet where that is required. */
struct judge_call {
    int quiet;
    char before;
};
struct judge_call judge_enter(struct storm_thread *thread, int level, enum storm_operation operation,
                              enum storm_place place);
void judge_leave(struct storm_thread *thread, int level, struct judge_call call);
void judge_count_operation(struct storm_thread *thread, int level, enum storm_operation operation);

/* Counts a wrong answer. */
void judge_complain(struct storm_thread *thread, int level, struct storm_complaint complaint);

/* Where the level was that this one interrupted; a thread interrupted nothing. */
enum storm_place judge_interrupted(const struct storm_thread *thread, int level);

void judge_lookup(struct storm_thread *thread, int level, uint64_t number);            /* a key of one owner */
void judge_lookup_generation(struct storm_thread *thread, int level, uint64_t number); /* the same, by generation */
void judge_lookup_contested(struct storm_thread *thread, int level, uint64_t number);
void judge_lookup_many(struct storm_thread *thread, int level);   /* of keys of one owner, each as for itself */
void judge_lookup_absent(struct storm_thread *thread, int level); /* a key that was never inserted */

#endif
