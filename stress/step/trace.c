/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "trace.h"

#include "../../tests/c/check.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define PAIRS (1u << 18)
#define OUTSIDE 0xffffffffull /* the vdso: the program itself is linked statically, below 4 GiB */

struct pair {
    _Atomic(uint64_t) addresses; /* from << 32 | to; 0: free */
    _Atomic(uint64_t) count;
};

static struct pair *pairs;
static uint64_t previous; /* of this process: one thread is stepped at a time */

void trace_make(void)
{
    pairs = mmap(NULL, PAIRS * sizeof *pairs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(pairs != MAP_FAILED);
}

void trace_break(void)
{
    previous = 0;
}

void trace_visit(uint64_t address)
{
    uint64_t to = address < OUTSIDE ? address : OUTSIDE, addresses = previous << 32 | to;
    uint64_t first = addresses * 0x9e3779b97f4a7c15ull >> 40;
    previous = to;
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *pair = &pairs[(first + i) % PAIRS];
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&pair->addresses, &there, addresses) || there == addresses) {
            pair->count++;
            return;
        }
    }
    CHECK(!"more pairs of addresses than there is room for");
}

void trace_write(const char *path)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (unsigned i = 0; i < PAIRS; i++)
        if (pairs[i].addresses)
            fprintf(file, "%lx %lx %lu\n", (unsigned long)(pairs[i].addresses >> 32),
                    (unsigned long)(pairs[i].addresses & OUTSIDE), (unsigned long)pairs[i].count);
    CHECK(fclose(file) == 0);
}
