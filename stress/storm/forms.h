/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The operations that our table has beside those of every design (study/rivals): functions of the same names. */
#ifndef FORMS_H
#define FORMS_H

#include "../../study/rivals/rivals.h"

struct storm_forms {
    size_t (*lookup_many)(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                          uint8_t *lengths);
    int (*iterate)(const struct bid_table *table, bid_visit visit, void *argument);
    size_t (*keys)(const struct bid_table *table, uint64_t *keys, size_t capacity);
    int (*statistics)(const struct bid_table *table, struct bid_stats *stats);
    int (*insert_many)(struct bid_table *table, const uint64_t *keys, size_t n, const uint8_t *ids, size_t id_size,
                       const uint8_t *lengths, size_t *inserted);
    int (*upsert)(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove_generation)(struct bid_table *table, uint64_t key, uint32_t generation);
};

extern const struct storm_forms storm_forms_ours;

#endif
