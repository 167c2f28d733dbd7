/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What happens to the list of a process's mappings while it is made; its ends; and each allocation that may fail. */
#define _GNU_SOURCE
#include "../mappings/mappings.h"
#include "../resolve/procmaps.h"
#include "../resolve/same.h"
#include "check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* --------------------------------------------------------------------------------- allocations that fail -- */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HAS_FAILURES /* a sanitizer has a malloc() of its own, and other libraries of C no name for theirs */
void *__libc_malloc(size_t);
void *__libc_realloc(void *, size_t);
void *__libc_calloc(size_t, size_t);

static long until_failure = -1; /* allocations that succeed before one does not; -1: all succeed */

static int fails(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *malloc(size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_malloc(size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_realloc(old, size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : __libc_calloc(n, size);
}

static void test_no_memory(int source)
{
    struct bid_process_maps *maps;
    int status, failed = 0;
    for (long n = 0;; n++, failed++) {
        until_failure = n;
        status = bid_process_maps_read(&maps, getpid(), source);
        int all = until_failure >= 0;
        until_failure = -1;
        if (all)
            break;
        CHECK(status == BID_PROCESS_E_NO_MEMORY && !maps);
    }
    CHECK(status == BID_PROCESS_OK && failed > 3);
    bid_process_maps_free(maps);
}
#endif

/* ------------------------------------------------------------------------------------------------ files -- */

/* A file of notes and nothing else, with a build ID of 20 such bytes. */
static void write_file(const char *path, int byte)
{
    uint32_t header[3] = {4, 20, 3};
    char note[36] = {0};
    memcpy(note, header, 12);
    memcpy(note + 12, "GNU", 4);
    memset(note + 16, byte, 20);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    CHECK(fd >= 0 && write(fd, note, sizeof note) == sizeof note);
    close(fd);
}

static void *map_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    void *view = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(view != MAP_FAILED);
    close(fd);
    return view;
}

/* The mapping at an address, as the text shows it now. */
static struct bid_area area_at(const void *address)
{
    struct bid_maps_text text;
    struct bid_maps_line line;
    struct bid_area area = {0};
    CHECK(bid_maps_text_read(&text) == BID_OK);
    for (size_t position = 0; bid_maps_text_next(&text, &position, &line);)
        if (line.start == (uintptr_t)address) {
            area.name = malloc(line.path_length + 1);
            bid_maps_line_path(area.name, &line);
            area.shown.start = line.start;
            area.shown.end = line.end;
            area.shown.device = line.device;
            area.shown.inode = line.inode;
        }
    bid_maps_text_free(&text);
    CHECK(area.name);
    return area;
}

/* While the list is made a file goes, and another one gets its number, its path and a mapping. */
static void test_another_file_of_the_same_number(void)
{
    struct bid_process process;
    uint64_t inodes[2];
    void *views[2];
    struct bid_process_maps *maps = calloc(1, sizeof *maps);
    CHECK(bid_process_open(&process, getpid()) == BID_PROCESS_OK);
    for (int i = 0; i < 2; i++) {
        unlink("notes");
        write_file("notes", 'a' + i);
        views[i] = map_file("notes");
        struct bid_area area = area_at(views[i]);
        inodes[i] = area.shown.inode;
        CHECK(bid_area_add(&process, maps, &area) == BID_PROCESS_OK);
        munmap(views[i], 4096);
    }
    for (int i = 0; i < 2; i++) {
        const struct bid_process_mapping *mapping = bid_process_maps_at(maps, (size_t)i);
        CHECK(mapping->elf_status == BID_ELF_OK && mapping->id.length == 20 && mapping->id.bytes[0] == 'a' + i);
    }
    if (inodes[0] != inodes[1])
        printf("this file system does not give an inode's number again at once: less was tested\n");
    bid_process_close(&process);
    bid_process_maps_free(maps);
}

static void test_same_file(void)
{
    struct bid_descriptor file;
    write_file("same", 'x');
    void *view = map_file("same");
    struct bid_area area = area_at(view);
    CHECK(bid_descriptor_open(&file, "same"));
    CHECK(bid_is_mapped_file(&file, area.shown.device, area.shown.inode));
    CHECK(!bid_is_mapped_file(&file, area.shown.device, area.shown.inode + 1));
    CHECK(!bid_is_mapped_file(&file, area.shown.device + 1, area.shown.inode));
    bid_descriptor_close(&file);
    munmap(view, 4096);
    free(area.name);
}

/* ---------------------------------------------------------------------------------------------- processes -- */

static void test_a_process_that_ends_meanwhile(void)
{
    struct bid_process process;
    struct bid_process_maps *maps = calloc(1, sizeof *maps);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    CHECK(bid_process_open(&process, child) == BID_PROCESS_OK);
    int has_query = bid_process_has_query(&process);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(bid_process_text(&process, maps) == BID_PROCESS_E_GONE);
    CHECK(!has_query || bid_process_query(&process, maps) == BID_PROCESS_E_GONE);
    CHECK(bid_process_maps_count(maps) == 0);
    bid_process_close(&process);
    bid_process_maps_free(maps);
}

static void test_refused(void)
{
    struct bid_process_maps *maps;
    CHECK(bid_process_maps_read(&maps, getpid(), BID_PROCESS_SOURCES) == BID_PROCESS_E_SOURCE && !maps);
    CHECK(bid_process_maps_read(&maps, getpid(), -1) == BID_PROCESS_E_SOURCE && !maps);
    CHECK(bid_process_maps_read(&maps, -5, BID_PROCESS_AUTO) == BID_PROCESS_E_GONE && !maps);
    bid_process_maps_free(NULL);
    CHECK(bid_process_maps_read(NULL, getpid(), BID_PROCESS_AUTO) == BID_PROCESS_E_NULL);
    CHECK(!bid_process_maps_count(NULL) && !bid_process_maps_at(NULL, 0) && !bid_process_maps_find(NULL, 0));
    for (int status = BID_PROCESS_OK; status >= BID_PROCESS_E_NULL; status--)
        CHECK(strcmp(bid_process_status_text(status), bid_process_status_text(1)) != 0);
}

static void test_every_address_of_a_list(void)
{
    struct bid_process_maps *maps;
    CHECK(bid_process_maps_read(&maps, getpid(), BID_PROCESS_TEXT) == BID_PROCESS_OK);
    size_t count = bid_process_maps_count(maps);
    CHECK(count > 5 && !bid_process_maps_at(maps, count));
    for (size_t i = 0; i < count; i++) {
        const struct bid_process_mapping *mapping = bid_process_maps_at(maps, i);
        const struct bid_process_mapping *next = bid_process_maps_find(maps, mapping->end);
        CHECK(bid_process_maps_find(maps, mapping->start) == mapping);
        CHECK(bid_process_maps_find(maps, mapping->end - 1) == mapping);
        CHECK(!next || (next->start == mapping->end && next == bid_process_maps_at(maps, i + 1)));
        CHECK(i || !bid_process_maps_find(maps, mapping->start - 1));
    }
    bid_process_maps_free(maps);
}

int main(void)
{
    test_refused();
    test_every_address_of_a_list();
    test_same_file();
    test_another_file_of_the_same_number();
    test_a_process_that_ends_meanwhile();
#ifdef HAS_FAILURES
    test_no_memory(BID_PROCESS_TEXT);
    test_no_memory(BID_PROCESS_AUTO);
#endif
    return 0;
}
