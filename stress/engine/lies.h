/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef LIES_H
#define LIES_H

#include "../../study/rivals/rivals.h"

/* Lying design i, NULL past the last. */
const struct bid_design *lie_design(unsigned i);

#endif
