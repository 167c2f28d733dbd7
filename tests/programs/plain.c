/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A program like any other, to be built in unlike ways: statically, with musl, for 32 bits. With a number it also takes
 * so many MiB of memory. */
#define _GNU_SOURCE
#include "program.h"

int main(int n, char **arguments)
{
    size_t bytes = n > 1 ? (size_t)atoi(arguments[1]) << 20 : 0;
    burn(40);
    if (bytes) {
        char *memory = malloc(bytes);
        if (memory)
            memset(memory, 1, bytes);
        say("%zu MiB: %s\n", bytes >> 20, memory ? "taken" : "refused");
    }
    pid_t child = fork();
    if (child == 0) {
        burn(10);
        _exit(12);
    }
    say_end("child", child);
    say("user %d of %d\n", (int)geteuid(), (int)getuid());
    return 13;
}
