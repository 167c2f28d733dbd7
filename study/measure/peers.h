/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Loads designs from outside, each from a shared object of its own (study/peers). */
#ifndef BID_PEERS_H
#define BID_PEERS_H

#include "rivals.h"

/* Loads one, for good. Context: thread. Returns: NULL, and why in reason[size]. */
const struct bid_design *peer_load(const char *path, char *reason, size_t size);

#endif
