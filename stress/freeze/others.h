/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What another thread does while one stands still in the middle of an operation. */
#ifndef FREEZER_OTHERS_H
#define FREEZER_OTHERS_H

#include "../../study/rivals/rivals.h"
#include "../common/quiet.h"

#define ENTRIES 40   /* that are there from the beginning, and stay; but for the subject */
#define FILLERS 2000 /* keys of these numbers fill the table up, where an operation begins so */

/* In memory that is shared over the forks. */
struct found {
    uint64_t points, last; /* instructions after which the thread was stopped; the last of them */
    uint64_t in_resize;    /* points at which a resize stood half done */
    uint64_t operations;   /* that others have finished */
    uint64_t limits;       /* points at which others went on until the limit on retired memory refused them */
    uint64_t max_retired;  /* bytes */
    uint64_t blocked, wrong;
    struct quiet_found quiet; /* system calls in lookups and in updates for NMI context, of whichever thread */
};

extern const struct bid_design *design;
extern void *table;
extern uint64_t subject; /* the key that the operation is about */
extern struct found *found;

int put(uint64_t key, uint32_t version, int (*how)(void *, uint64_t, uint32_t, const void *, size_t));

/* For pthread_create(). Ends the process: with status 0 if all was done and right. */
void *others_work(void *unused);

#endif
