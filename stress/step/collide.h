/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An operation that meets updates of its own key, at exactly one of its instructions. */
#ifndef COLLIDE_H
#define COLLIDE_H

#include "scenarios.h"

/* Steps the operation. At instructions phase, phase + every, ... the process forks for each way to update the key; the
 * child updates it there, and lets the operation go on to its end: at one of `stepped` of them with the handler after
 * each of the next CHILD_STEPS instructions, otherwise without. Of a scenario of kind RACED the child does what its
 * race says, and the process forks at each instruction at which it is time for that. */
void collide(const struct scenario *scenario, uint64_t every, uint64_t phase, uint64_t stepped);

int in_another_thread(void *(*run)(void *status)); /* returns the status */

#endif
