/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Running code with a handler after each of its instructions: the processor's trap flag, set and cleared in the contexts
 * of two signals, so no assembly is needed and the red zone is the kernel's care. x86-64 only.
 *
 * What is stepped begins and ends in raise(): some sixty of its instructions are libc's and the switch's.
 */
#ifndef STEPPER_H
#define STEPPER_H

#include <stdint.h>

/* Called after each instruction, in a signal handler; gets the address of the next one. */
typedef void (*stepper_visit)(uint64_t address);

stepper_visit stepper_install(stepper_visit visit); /* returns what was there before */
void stepper_begin(void);                           /* of the calling thread */
void stepper_end(void);
void stepper_leave(void); /* in a visit: what it interrupted goes on without */

/* As begin and end, but only counts, and does not visit. Also in a visit, where nothing is stepped otherwise. The number
 * has the switch's own instructions in it, which are always the same: count an empty function to know them. */
void stepper_count_begin(void);
uint64_t stepper_count_end(void);

#endif
