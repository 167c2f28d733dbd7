/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Another thread, which updates a table in thread context while the one that asked for it stands still in a handler. */
#ifndef OTHERS_H
#define OTHERS_H

#include "bid.h"

void others_begin(void);

/* One of: insert, replace and remove a key of its own; grow; shrink. Waits for the other thread, which needs nothing of
 * this one. Context: any. Returns BID_OK, or what the table said. */
int others_update(struct bid_table *table);

#endif
