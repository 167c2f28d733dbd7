/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A rival of the storm's own: see rcu.c. */
#ifndef RCU_H
#define RCU_H

#include "../../study/rivals/rivals.h"

extern const struct bid_design storm_rcu;

#endif
