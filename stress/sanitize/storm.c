/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The storm without Python around it, so that it can be built with a sanitizer: `storm SECONDS SOURCES`, the latter
 * bits of enum storm_source. A sanitizer that finds something ends the storm's process.
 */
#include "../../tests/c/check.h"
#include "../storm/shared.h"

#include <sys/wait.h>

#define ENTRIES 2000
#define LOOKERS 2
#define CHURNERS 2

static uint64_t keys[ENTRIES];
static uint8_t ids[ENTRIES][BID_ID_MAX], lengths[ENTRIES];

static void make_entries(void)
{
    for (uint64_t i = 0; i < ENTRIES; i++) {
        keys[i] = inode_key(i);
        lengths[i] = (uint8_t)(i % (BID_ID_MAX + 1)); /* 0 as well: no build ID */
        make_id(keys[i], 0, ids[i], lengths[i]);
    }
}

/* Prints what the threads and their handlers did, in all. Returns whether nothing of it was wrong. */
static int report(const struct storm_shared *shared, int interrupted)
{
    uint64_t interruptions = 0, lookups = 0, updates = 0, wrong = shared->wrong_at_end + shared->errors;
    for (unsigned i = 0; i < LOOKERS + CHURNERS; i++)
        for (unsigned level = 0; level < STORM_LEVELS; level++) {
            const struct storm_tally *tally = &shared->worker[i].tally[level];
            for (unsigned source = 0; source < STORM_SOURCES; source++)
                interruptions += tally->interruptions[source];
            lookups += tally->ended;
            updates += tally->updates;
            wrong += tally->wrong + tally->errno_changed;
        }
    printf("figure interruptions %lu\nfigure lookups %lu\nfigure updates %lu\nfigure resizes %lu\nfigure wrong %lu\n",
           (unsigned long)interruptions, (unsigned long)lookups, (unsigned long)updates, (unsigned long)shared->resizes,
           (unsigned long)wrong);
    return !interruptions == !interrupted && lookups && updates && shared->resizes && !wrong;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    make_entries();
    struct storm_config config = {.design = "ours", .keys = keys, .ids = ids[0], .lengths = lengths, .n = ENTRIES};
    config.seed = config.options.seed = 1;
    config.options.flags = BID_FIXED_SEED;
    config.seconds = strtod(argv[1], NULL);
    config.lookers = LOOKERS;
    config.churners = CHURNERS;
    config.sources = (uint32_t)strtoul(argv[2], NULL, 10);
    struct storm_shared *shared;
    int status, pid = storm_start(&config, &shared);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0 && shared->state == STORM_DONE);
    CHECK(shared->count == shared->entries);
    CHECK(report(shared, config.sources != 0));
    return 0;
}
