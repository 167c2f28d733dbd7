/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A program like any other, to be built in unlike ways: statically, with musl, for 32 bits, with a sanitizer. */
#define _GNU_SOURCE
#include "program.h"

int main(void)
{
    burn(40);
    pid_t child = fork();
    if (child == 0) {
        burn(10);
        _exit(12);
    }
    say_end("child", child);
    say("user %d of %d\n", (int)geteuid(), (int)getuid());
    return 13;
}
