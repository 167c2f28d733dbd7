/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs of this folder share. Each is one scenario: it prints figures, one a line ("figure NAME VALUE"),
 * and ends with status 0, or says on standard error what was not as it should be and ends with another.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "../../tests/c/check.h"

#include <inttypes.h>

static inline void figure(const char *name, uint64_t value)
{
    printf("figure %s %" PRIu64 "\n", name, value);
    fflush(stdout);
}

/* The number that a program was given; it is always given all of them. */
static inline uint64_t parameter(int argc, char **argv, int number)
{
    CHECK(number < argc);
    return strtoull(argv[number], NULL, 10);
}

/* Entries number `from` up to `to` are there, with the IDs that insert() gave them. */
static inline void check_entries(const struct bid_table *table, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
        CHECK(id_is(&id, inode_key(i), 1, 20));
    }
}

static inline void check_absent(const struct bid_table *table, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_ABSENT);
    }
}

#endif
