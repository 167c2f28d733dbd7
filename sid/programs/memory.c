/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs that may have little memory, or little that stays in memory: RLIMIT_AS and RLIMIT_MEMLOCK are set before. */
#define _GNU_SOURCE
#include "program.h"

#include <sys/mman.h>

static int part_limited(char **arguments)
{
    size_t bytes = (size_t)atoi(arguments[2]) << 20;
    burn(30);
    char *memory = malloc(bytes);
    if (memory)
        memset(memory, 1, bytes);
    say("%zu MiB: %s\n", bytes >> 20, memory ? "taken" : "refused");
    return 0;
}

static int part_locked(char **arguments)
{
    burn(20);
    int current = mlockall(MCL_CURRENT);
    say("what there is: %s\n", current ? strerror(errno) : "locked");
    int future = mlockall(MCL_FUTURE);
    say("what there will be: %s\n", future ? strerror(errno) : "locked");
    burn(20);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("a page: %s\n", page == MAP_FAILED ? strerror(errno) : "mapped");
    return 0;
}

int main(int n, char **arguments)
{
    static const struct part parts[] = {{"limited", part_limited}, {"locked", part_locked}, {0}};
    return run_part(parts, arguments);
}
