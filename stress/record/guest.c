/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guest OBJECT SECONDS COMMAND...: records COMMAND in a virtual machine, where there is no Python; each frame beside
 * the kernel's own answer. Prints what was counted: a line NAME NUMBER for each, and "FAILED: why" where nothing can be
 * recorded.
 */
#define _GNU_SOURCE
#include "libbpf.h"
#include "recorder.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the verifier says of a program that it refuses. */
static int say(int level, const char *format, va_list arguments)
{
    return level ? 0 : vprintf(format, arguments);
}

static int failed(const char *what, const char *why)
{
    printf("FAILED: %s: %s\n", what, why);
    return 1;
}

static pid_t run(char **command)
{
    pid_t child = fork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    return child;
}

static void print(const struct bid_recorder_status *status)
{
    static const char *const names[] = {"samples",      "lost",   "no_stack",   "events_lost", "stores",
                                        "no_room",      "own",    "removed",    "frames",      "table_valid",
                                        "kernel_valid", "absurd", "both_valid", "wrong"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        printf("%s %llu\n", names[i], (unsigned long long)status->counts[i]);
    printf("files_read %llu\nfiles_unreadable %llu\nentries %llu\n", (unsigned long long)status->files_read,
           (unsigned long long)status->files_unreadable, (unsigned long long)status->entries);
    for (unsigned i = 0; i < BID_OUTCOMES; i++)
        if (status->outcomes[i])
            printf("reason_%u_source_%u %llu\n", i / BID_SOURCES, i % BID_SOURCES,
                   (unsigned long long)status->outcomes[i]);
}

int main(int count, char **arguments)
{
    static char object[1 << 20], why[512];
    setvbuf(stdout, NULL, _IOLBF, 0);
    FILE *file = count > 3 ? fopen(arguments[1], "rb") : NULL;
    size_t size = file ? fread(object, 1, sizeof object, file) : 0;
    struct bid_recorder_options options = {
        .frequency = 199, .flags = BID_RECORD_COMPARE | BID_RECORD_ONLY, .clock = 1, .region_bytes = 4 << 20};
    const struct bid_libbpf *libbpf = bid_libbpf_load(NULL);
    if (libbpf)
        libbpf->libbpf_set_print(say);
    pid_t before = run(arguments + 3); /* its mappings are entered by the iterator */
    sleep(1);
    struct bid_recorder *recorder = bid_recorder_create(object, size, &options, why, sizeof why);
    if (!recorder)
        return failed("create", why);
    pid_t after = run(arguments + 3); /* and these by the hook */
    if (bid_recorder_target(recorder, (uint32_t)before) || bid_recorder_target(recorder, (uint32_t)after))
        return failed("target", "no room");
    if (bid_recorder_start(recorder, why, sizeof why))
        return failed("start", why);
    sleep((unsigned)atoi(arguments[2]));
    bid_recorder_stop(recorder);
    kill(before, SIGKILL);
    kill(after, SIGKILL);
    while (wait(NULL) > 0)
        ;
    if (umount("/mnt")) /* where COMMAND and its libraries are: their inodes end */
        perror("umount");
    struct bid_recorder_status status;
    bid_recorder_status(recorder, &status);
    print(&status);
    bid_recorder_destroy(recorder);
    return 0;
}
