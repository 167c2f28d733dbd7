/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "history.h"

#include <inttypes.h>

#define FIELDS 11

void history_print(FILE *file, const struct history_op *op)
{
    fprintf(file,
            "op %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRId32 " %" PRIu32 " %" PRIu32 " %" PRIu64
            " %" PRIu64 " %" PRIu32 " %" PRIu32 "\n",
            op->key, op->kind, op->generation, op->id, op->status, op->found_generation, op->found_id, op->invoked,
            op->returned, op->thread, op->level);
}

int history_parse(const char *line, struct history_op *op)
{
    int fields = sscanf(line,
                        "op %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNd32 " %" SCNu32 " %" SCNu32
                        " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32,
                        &op->key, &op->kind, &op->generation, &op->id, &op->status, &op->found_generation,
                        &op->found_id, &op->invoked, &op->returned, &op->thread, &op->level);
    return fields == FIELDS && op->kind < HISTORY_KINDS;
}
