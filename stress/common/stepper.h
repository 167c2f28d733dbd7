/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Running code with a handler after each of its instructions. Two ways, of which one is linked: stepper.c sets the
 * processor's trap flag in the contexts of two signals, so no assembly is needed and the red zone is the kernel's care
 * (x86-64); parent.c steps from a parent process.
 *
 * What is stepped begins and ends in the call that asks for it: some forty to sixty of its instructions are libc's and
 * the switch's.
 */
#ifndef STEPPER_H
#define STEPPER_H

#include <stdint.h>

/* Called after each instruction, in a signal handler; gets the address of the next one. */
typedef void (*stepper_visit)(uint64_t address);

/* What main() has to call, once: runs the program. */
int stepper_main(int (*program)(int count, char **arguments), int count, char **arguments);

stepper_visit stepper_install(stepper_visit visit); /* returns what was there before */
void stepper_begin(void);                           /* of the calling thread */
void stepper_end(void);
void stepper_leave(void); /* in a visit: the interrupted code goes on without being stepped */

/* Counts the instructions between the two calls, without a visit; also within a visit. The number includes instructions
 * of the two calls themselves, always the same number: count an empty function to know it. */
void stepper_count_begin(void);
uint64_t stepper_count_end(void);

#endif
