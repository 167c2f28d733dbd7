/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* libbpf, loaded at run time. */
#define _GNU_SOURCE
#include "libbpf.h"

#include <dlfcn.h>

static const char *const bid_libbpf_names[] = {
#define BID_LIBBPF_NAME(result, name, parameters) #name,
    BID_LIBBPF(BID_LIBBPF_NAME)};

#define BID_LIBBPF_COUNT (sizeof bid_libbpf_names / sizeof *bid_libbpf_names)

static union {
    struct bid_libbpf functions;
    void *symbols[BID_LIBBPF_COUNT];
} bid_libbpf;
_Static_assert(sizeof bid_libbpf.functions == sizeof bid_libbpf.symbols, "a pointer for each name");

static int bid_libbpf_silent(int level, const char *format, va_list arguments)
{
    (void)level;
    (void)format;
    (void)arguments;
    return 0;
}

const struct bid_libbpf *bid_libbpf_load(const char **why)
{
    const char *nothing;
    why = why ? why : &nothing;
    if (bid_libbpf.symbols[0])
        return &bid_libbpf.functions;
    void *library = dlopen("libbpf.so.1", RTLD_NOW | RTLD_LOCAL);
    *why = "libbpf 1 is not installed: it is the package libbpf1 of Debian, libbpf of Fedora and Arch";
    if (!library)
        return NULL;
    *why = "the installed libbpf lacks a function: version 1.0 or later is needed";
    for (unsigned i = BID_LIBBPF_COUNT; i--;)
        if (!(bid_libbpf.symbols[i] = dlsym(library, bid_libbpf_names[i])))
            return NULL; /* the first one is still NULL */
    bid_libbpf.functions.libbpf_set_print(bid_libbpf_silent);
    return &bid_libbpf.functions;
}
