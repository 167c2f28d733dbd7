/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where the library is preloaded (LD_PRELOAD), it registers the process, and the children of its forks, with the
 * recording that PYBUILDID_PROFILE names. A failure prints nothing here, because the program is not ours.
 *
 * The same library is for glibc and musl: symbols that only one of them has are weak.
 */
#define _GNU_SOURCE
#include "../profile/agent.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *)
    __attribute__((weak));                                                                       /* glibc's */
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void)) __attribute__((weak)); /* musl's */
extern void *__dso_handle;

static void when_forked(void)
{
    if (__register_atfork)
        __register_atfork(NULL, NULL, bid_agent_forked, &__dso_handle);
    else if (pthread_atfork)
        pthread_atfork(NULL, NULL, bid_agent_forked);
}

__attribute__((constructor)) static void start_preloaded(void)
{
    const char *path = getenv("PYBUILDID_PROFILE");
    struct bid_recording *recording;
    int before = errno;
    if (path && bid_agent_map(path, &recording) == 0) {
        when_forked();
        if (bid_agent_is_go())
            bid_agent_refuse(recording, BID_REFUSED_GO);
        else
            bid_agent_start(recording);
    }
    errno = before;
}

/* In another root the library may be out of sight, and the loader of each program that is started there would say so on
 * its standard error. Then it is taken out of LD_PRELOAD, where it comes first. */
static void forget_library(void)
{
    const char *list = getenv("LD_PRELOAD");
    size_t length = list ? strcspn(list, " :") : 0;
    char path[4096];
    if (!length || length >= sizeof path)
        return;
    memcpy(path, list, length);
    path[length] = 0;
    if (access(path, R_OK) == 0)
        return;
    if (list[length])
        setenv("LD_PRELOAD", list + length + 1, 1);
    else
        unsetenv("LD_PRELOAD");
}

__attribute__((visibility("default"))) int chroot(const char *path)
{
    int (*function)(const char *);
    *(void **)&function = dlsym(RTLD_NEXT, "chroot");
    int result = function(path);
    if (result == 0 && getenv("PYBUILDID_PROFILE"))
        forget_library();
    return result;
}
