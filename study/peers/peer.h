/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Designs from outside, each in a shared object of its own that defines bid_design_peer. */
#ifndef BID_PEER_H
#define BID_PEER_H

#include "rivals.h"

extern const struct bid_design bid_design_peer;

#endif
