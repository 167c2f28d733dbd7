/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the C tests share: a check that names itself, keys that look like inodes, IDs that depend on their key. */
#ifndef CHECK_H
#define CHECK_H

#include "bid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_STATUS(call, expected)                                                                                   \
    do {                                                                                                               \
        int status_ = (call);                                                                                          \
        if (status_ != (expected)) {                                                                                   \
            fprintf(stderr, "%s:%d: %s is %s, not %s\n", __FILE__, __LINE__, #call, bid_status_name(status_),          \
                    bid_status_name(expected));                                                                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Addresses of 1,128-byte objects, 14 to a slab of 16 KiB: the geometry recorded in tests/data. */
static inline uint64_t inode_key(uint64_t number)
{
    return 0xffff888100000000ull + number / 14 * 16384 + number % 14 * 1128;
}

static inline void make_id(uint64_t key, uint64_t version, uint8_t *id, size_t length)
{
    for (size_t i = 0; i < length; i++)
        id[i] = (uint8_t)((key >> i % 8 * 8) * 31 + version * 7 + i * 13 + 1);
}

static inline int id_is(const struct bid_build_id *id, uint64_t key, uint64_t version, size_t length)
{
    uint8_t expected[BID_ID_MAX];
    make_id(key, version, expected, length);
    return id->length == length && memcmp(id->bytes, expected, length) == 0;
}

static inline struct bid_table *make_table(struct bid_options options)
{
    struct bid_table *table;
    options.size = sizeof options;
    CHECK_STATUS(bid_create(&table, &options), BID_OK);
    return table;
}

static inline struct bid_stats statistics(const struct bid_table *table)
{
    struct bid_stats stats = {.size = sizeof stats};
    CHECK_STATUS(bid_statistics(table, &stats), BID_OK);
    return stats;
}

static inline int insert(struct bid_table *table, uint64_t key, uint64_t version, size_t length)
{
    uint8_t id[BID_ID_MAX];
    make_id(key, version, id, length);
    return bid_insert(table, key, (uint32_t)version, id, length);
}

/* Every table of a test is sound at its end, but for as many updates as stand half done for good. */
static uint64_t unfinished_updates;

static inline void check_and_destroy(struct bid_table *table, const char *file, int line)
{
    const char *wrong = table ? bid_audit(table, unfinished_updates) : NULL;
    if (wrong) {
        fprintf(stderr, "%s:%d: the audit says: %s\n", file, line, wrong);
        exit(1);
    }
    bid_destroy(table);
}
#ifndef CHECK_NO_AUDIT /* where handlers update a table all the time */
#define bid_destroy(table) check_and_destroy((table), __FILE__, __LINE__)
#endif

/* BID_OK also if there was nothing to gain. */
static inline int shrink_table(struct bid_table *table)
{
    int status = bid_shrink(table);
    return status == BID_UNCHANGED ? BID_OK : status;
}

#endif
