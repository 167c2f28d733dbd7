/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The updates of a storm: by its threads, and by the handlers on them in the forms for NMI context. */
#ifndef CHURN_H
#define CHURN_H

#include "storm.h"

/* One turn of a churner: updates of keys of its own and of contested ones, resizes, sweeps. */
void churn(struct storm_thread *thread);

/* An update of a contested key; in a handler the one that its thread is contesting. */
void churn_contest(struct storm_thread *thread, int level, uint64_t number);

/* Counts an update that failed as it never should. */
void churn_failed(struct storm_thread *thread, int status);

#endif
