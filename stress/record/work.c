/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Something to be recorded: a stack of libraries that spins.
 *
 * work DIRECTORY LIBRARIES [storm] [evict] [remap] [many] [compiled] [MILLISECONDS]
 *   storm   two threads map and unmap memory all the time
 *   evict   the first page of each library is thrown out of memory, again and again
 *   remap   a thread maps two files in turn at one address and runs their code, about 1,000 times a second
 *   many    a thread maps 300 copies of a library, and runs them in turn
 *   compiled  a thread runs memory that lies where a file's code was: never.so's, which it never runs
 *   MILLISECONDS of CPU time, then it ends; without: until it is killed, or its parent ends
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define MOST 64
#define COPIES 300
#define LIBRARY (2ul << 20) /* bytes that are mapped of one */

typedef unsigned long (*link_call)(int, int, void **, unsigned long);

static const char *directory;
static void *chain[MOST], *headers[MOST];
static int links, files[MOST];
static char *copies[COPIES];

static void *storm(void *nothing)
{
    for (;;) {
        char *memory = mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory[0] = memory[1 << 20] = 1;
        munmap(memory, 1 << 21);
    }
    return nothing;
}

static void *evict(void *nothing)
{
    for (;; usleep(2000))
        for (int i = 0; i < links; i++) {
            madvise(headers[i], 4096, MADV_PAGEOUT); /* where it is mapped */
            posix_fadvise(files[i], 0, 4096, POSIX_FADV_DONTNEED);
        }
    return nothing;
}

static void *remap(void *nothing)
{
    unsigned long offset = (unsigned long)chain[0] - (unsigned long)headers[0];
    char name[512];
    int others[2];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/x%c.so", directory, 'a' + i);
        others[i] = open(name, O_RDONLY | O_CLOEXEC);
    }
    char *place = mmap(NULL, 2 * LIBRARY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned n = 0;; n++) {
        if (mmap(place, LIBRARY, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, others[n % 2], 0) != place)
            abort();
        void *self = place + offset;
        ((link_call)self)(0, 0, &self, 100000 + (unsigned long)rand() % 400000);
        if (n % 7 == 0)
            munmap(place, LIBRARY);
    }
    return nothing;
}

/* As compilers do that make code while they run: where a file's code was, memory is mapped, written, and made
 * executable as a whole, which writes nothing to the kernel's tree of mappings. */
static void *compiled(void *nothing)
{
    unsigned long offset = (unsigned long)chain[0] - (unsigned long)headers[0];
    char name[512];
    snprintf(name, sizeof name, "%s/never.so", directory);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    for (;;) {
        char *place = mmap(NULL, LIBRARY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mmap(place, LIBRARY, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0) != place ||
            mmap(place, LIBRARY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != place)
            abort();
        memcpy(place + offset, chain[0], 4096 - offset % 4096);
        mprotect(place, LIBRARY, PROT_READ | PROT_EXEC);
        void *self = place + offset;
        for (int i = 0; i < 100; i++)
            ((link_call)self)(0, 0, &self, 1000000);
        munmap(place, LIBRARY);
    }
    return nothing;
}

static void *many(void *nothing)
{
    unsigned long offset = (unsigned long)chain[0] - (unsigned long)headers[0];
    for (int i = 0;; i = (i + 1) % COPIES) {
        if (!copies[i])
            copies[i] = mmap(NULL, LIBRARY, PROT_READ | PROT_EXEC, MAP_PRIVATE, files[i % links], 0);
        void *self = copies[i] + offset;
        ((link_call)self)(0, 0, &self, 100000);
    }
    return nothing;
}

static void load(int number)
{
    char name[512];
    Dl_info info;
    for (links = 0; links < number && links < MOST; links++) {
        snprintf(name, sizeof name, "%s/l%02d.so", directory, links);
        void *library = dlopen(name, RTLD_NOW);
        chain[links] = library ? dlsym(library, "link_call") : NULL;
        if (!chain[links] || !dladdr(chain[links], &info)) {
            fprintf(stderr, "%s: %s\n", name, dlerror());
            exit(1);
        }
        headers[links] = info.dli_fbase;
        files[links] = open(name, O_RDONLY | O_CLOEXEC);
    }
}

int main(int count, char **arguments)
{
    pthread_t thread;
    long milliseconds = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 3)
        return 2;
    directory = arguments[1];
    load(atoi(arguments[2]));
    for (int i = 3; i < count; i++) {
        if (strcmp(arguments[i], "storm") == 0) {
            pthread_create(&thread, NULL, storm, NULL);
            pthread_create(&thread, NULL, storm, NULL);
        } else if (strcmp(arguments[i], "evict") == 0) {
            pthread_create(&thread, NULL, evict, NULL);
        } else if (strcmp(arguments[i], "remap") == 0) {
            pthread_create(&thread, NULL, remap, NULL);
        } else if (strcmp(arguments[i], "many") == 0) {
            pthread_create(&thread, NULL, many, NULL);
        } else if (strcmp(arguments[i], "compiled") == 0) {
            pthread_create(&thread, NULL, compiled, NULL);
        } else {
            milliseconds = atol(arguments[i]);
        }
    }
    if (!milliseconds) {
        puts("ready");
        fflush(stdout);
    }
    while (!milliseconds || clock() < milliseconds * (CLOCKS_PER_SEC / 1000))
        ((link_call)chain[0])(0, links - 1, chain, milliseconds ? 20000 : 3000000);
    return 0;
}
