/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Running an operation with a handler after each of its instructions: the processor's trap flag, set and cleared in the
 * contexts of two signals, so no assembly is needed and the red zone is the kernel's care. x86-64 only.
 */
#ifndef STEPPER_H
#define STEPPER_H

#define _GNU_SOURCE
#include <stdint.h>
#include <ucontext.h>

/* Called after each instruction, in a signal handler, with the context of what it interrupted. */
typedef void (*stepper_visit)(ucontext_t *context);

void stepper_install(stepper_visit visit);
void stepper_begin(void); /* of the calling thread */
void stepper_end(void);

/* Two tables: one that operations change, and one that only stays. Keys are inode addresses; versions are generations. */
#define STEADY 40    /* keys of both tables that no operation touches */
#define NEIGHBOURS 8 /* keys that handlers insert and remove */
#define ABSENT 0

struct judged { /* by the handler, for one scenario */
    uint64_t key, now, after;
    uint64_t update_every; /* instructions; 0: the handler only looks up */
    uint64_t interrupted, lookups, in_resize, updates, refused, wrong;
    uint32_t max_slots, max_records;
    char first_wrong[160];
};

extern struct bid_table *stepped, *second;
extern struct judged judged;
#define TEXT_MAX (4 << 20)
extern uint8_t reached[TEXT_MAX]; /* a byte for each address of the text of the program */

void judge_begin(uint64_t key, uint64_t before, uint64_t after, uint64_t update_every);
void judge_visit(ucontext_t *context);
void judge_wrong(const char *what, uint64_t key, uint64_t version);
uint64_t judge_version(struct bid_table *table, uint64_t key); /* ABSENT or the generation; a wrong ID is wrong */
uint64_t text_begin(void), text_bytes(void);

#endif
