/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A handle while pthread_atfork() has no memory, and after: the failure is not for ever, and forks are accounted for. The
 * rest of handles is tested from Python. */
#include "check.h"

#include "../../csrc/handle/handle.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int no_memory;
static void (*in_child[8])(void);
static unsigned handlers;

static void call_all(void)
{
    for (unsigned i = 0; i < handlers; i++)
        in_child[i]();
}

/* In the place of libc's, which is part of each program. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare, (void)parent;
    CHECK(handlers < sizeof in_child / sizeof *in_child);
    if (!no_memory)
        in_child[handlers++] = child;
    return no_memory ? ENOMEM : 0;
}

int main(void)
{
    struct bid_handle memory, *handle = &memory;
    struct bid_build_id id;
    int status;
    no_memory = 1;
    CHECK_STATUS(bid_handle_open(handle, NULL), BID_E_NO_MEMORY);
    CHECK(bid_handle_closed(handle));
    bid_handle_close(handle);
    no_memory = 0;
    CHECK_STATUS(bid_handle_open(handle, NULL), BID_OK);
    CHECK_STATUS(bid_handle_insert(handle, 1, 0, "x", 1), BID_OK);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        call_all();
        CHECK_STATUS(bid_handle_lookup(handle, 1, &id), BID_OK);
        bid_handle_close(handle);
        CHECK_STATUS(bid_handle_lookup(handle, 1, &id), BID_HANDLE_CLOSED);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_STATUS(bid_handle_lookup(handle, 1, &id), BID_OK);
    bid_handle_close(handle);
    bid_handle_close(handle);
    return 0;
}
