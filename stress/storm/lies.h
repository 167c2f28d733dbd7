/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef LIES_H
#define LIES_H

#include "forms.h"

/* Lying design i, NULL past the last. */
const struct bid_design *lie_design(unsigned i);

/* The forms of our table, or of a lying design; NULL for others. */
const struct storm_forms *lie_forms(const struct bid_design *design);

#endif
