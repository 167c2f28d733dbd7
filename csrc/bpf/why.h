/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Why something failed: errno, and a sentence for people that says what is missing and what would help. */
#ifndef BID_WHY_H
#define BID_WHY_H

#include <stddef.h>

struct bid_why {
    char *text;
    size_t size; /* of text; a longer sentence is cut */
};

/* Sets errno and the sentence (why: may be NULL).
 * Context: thread. Returns: -1, so that the caller may return it. */
int bid_why(struct bid_why *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
