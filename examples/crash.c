/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A crash handler: it prints (build ID, file offset) of each frame, from which the names of functions can be found
 * later and elsewhere, with `debuginfod-find debuginfo BUILD-ID` and addr2line.
 *
 * It walks frame pointers, so compile with them. If a function that calls no other crashes, its caller is missing,
 * because the compiler keeps no frame pointer there. A return address points behind the call: hence `- 1`.
 *
 * Build: cc -O1 -g -Wall -Wextra -fno-omit-frame-pointer -fno-optimize-sibling-calls crash.c \
 *        $(pkg-config --cflags --libs bid) -Wl,--build-id,-z,now -o crash
 */
#define _GNU_SOURCE
#include "program_counter.h"

#include <bid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAMES 64

static struct bid_maps *maps;

/* Hexadecimal digits at `to`; returns the end. printf() may not be called in a handler. */
static char *hexadecimal(char *to, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--)
        *to++ = "0123456789abcdef"[value >> 4 * i & 15];
    return to;
}

static void print(uint64_t pc)
{
    char line[128], *at = line;
    struct bid_stack_build_id record;
    struct bid_build_id id;
    int reason = bid_resolve(maps, pc, &record, &id);
    if (reason == BID_RESOLVED || reason == BID_RESOLVE_LONG_ID) {
        for (int i = 0; i < id.length && i < BID_STACK_ID_SIZE; i++)
            at = hexadecimal(at, id.bytes[i], 2);
        memcpy(at, " 0x", 3);
        at = hexadecimal(at + 3, record.status == BID_STACK_VALID ? record.offset : record.ip, 16);
    } else {
        memcpy(at, "? 0x", 4);
        at = hexadecimal(at + 4, pc, 16);
    }
    *at++ = '\n';
    if (write(STDERR_FILENO, line, (size_t)(at - line)) < 0)
        return;
}

/* The two words of a frame: the caller's frame, and the return address. The stack may be damaged: the kernel reads it,
 * and says so if nothing is there. */
static int read_frame(uint64_t frame, uint64_t words[2])
{
    struct iovec here = {words, 16}, there = {(void *)(uintptr_t)frame, 16};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 16;
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    struct registers at = registers_of(context);
    uint64_t words[2];
    (void)info;
    print(at.pc);
    for (int i = 0; i < FRAMES && at.frame % 16 == 0 && read_frame(at.frame, words) && words[1]; i++) {
        print(words[1] - 1);
        if (words[0] <= at.frame)
            break;
        at.frame = words[0];
    }
    signal(number, SIG_DFL); /* the same instruction fails again, and the program dies of it as it would have */
}

int install(void)
{
    static char stack[1 << 16]; /* the program's own stack may be what has run out */
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
    int status = bid_maps_create(&maps, NULL);
    if (status == BID_OK)
        status = bid_maps_refresh(maps);
    if (status < 0)
        return status;
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    return BID_OK;
}

/* ---------------------------------------------------------------------------------- a program that crashes -- */

__attribute__((noinline)) int innermost(volatile int *nothing)
{
    fflush(stdout);
    return *nothing + 1;
}

__attribute__((noinline)) int middle(volatile int *nothing)
{
    return innermost(nothing) + 1;
}

__attribute__((noinline)) int outer(volatile int *nothing)
{
    return middle(nothing) + 1;
}

int main(void)
{
    int status = install();
    if (status < 0)
        fprintf(stderr, "crash: no handler: %s\n", bid_status_text(status));
    return outer(NULL);
}
