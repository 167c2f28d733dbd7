/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Memory as the kernel sees it: made present also by kernels without MADV_POPULATE_WRITE, huge pages asked for where they are
 * wanted and nowhere else, and given back whole. */
#define _GNU_SOURCE
#include "check.h"

#include "../../csrc/process/memory.h"
#include "table.h"
#include "update.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE (2ull << 20)

static int is_old;    /* as a kernel without MADV_POPULATE_WRITE, Linux 5.13 */
static char *advised; /* what huge pages were last asked for */
static size_t advised_bytes;

/* In the place of libc's. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice == MADV_HUGEPAGE) {
        advised = address;
        advised_bytes = bytes;
    } else if (is_old && advice != MADV_WIPEONFORK) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

static uint64_t mapped_pages(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages;
}

/* Whole, also where it begins and ends within a page, and what is there stays as it is. */
static void populated_by_touching(void)
{
    enum { PAGES = 5 };
    size_t page = bid_platform_page();
    unsigned char present[PAGES];
    char *memory = bid_platform_map(PAGES * page, 0);
    CHECK(memory && mincore(memory, PAGES * page, present) == 0 && !(present[4] & 1));
    memset(memory, 7, page);
    is_old = 1;
    CHECK_STATUS(bid_platform_populate(memory + 100, PAGES * page - 200, 0), BID_OK);
    is_old = 0;
    CHECK(mincore(memory, PAGES * page, present) == 0);
    for (int i = 0; i < PAGES; i++)
        CHECK(present[i] & 1);
    for (size_t i = 0; i < page; i++)
        CHECK(memory[i] == 7);
    bid_platform_unmap(memory, PAGES * page);
}

static void old_kernel(void)
{
    is_old = 1;
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < 20000; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK(statistics(table).entries == 20000);
    bid_destroy(table);
    is_old = 0;
}

/* The advice begins at a multiple of 2 MiB, and the rest of what was mapped to find one is given back. */
static void huge_mapping(void)
{
    for (size_t bytes = 4096; bytes < 8 * HUGE_PAGE; bytes = bytes * 3 + 4096) {
        uint64_t before = mapped_pages();
        char *memory = bid_platform_map(bytes, bytes);
        CHECK(memory && memory == advised && (uintptr_t)memory % HUGE_PAGE == 0 && advised_bytes == bytes);
        CHECK(mapped_pages() - before <= bytes / bid_platform_page() + 1);
        memset(memory, 1, bytes);
        bid_platform_unmap(memory, bytes);
        CHECK(mapped_pages() == before);
    }
}

/* Large arrays: buckets and records. Others: whole huge pages of what is populated at once, or it would take more. */
static void huge_arrays(void)
{
    for (uint64_t expected = 100; expected < 3000000; expected *= 3) {
        advised = NULL;
        advised_bytes = 0;
        struct bid_table *table = make_table((struct bid_options){.expected_entries = expected, .id_size = 20});
        const struct bid_array *head = bid_head(table);
        uint64_t buckets = head->buckets * BID_BUCKET_BYTES;
        if (buckets >= 8 * HUGE_PAGE) {
            CHECK(advised == head->base && advised_bytes == head->record_capacity * BID_RECORD_BYTES);
        } else {
            CHECK(advised_bytes % HUGE_PAGE == 0 &&
                  advised_bytes <= bid_load(&head->record_ready, BID_RELAXED) * BID_RECORD_BYTES);
            CHECK(advised_bytes + HUGE_PAGE > buckets && (!advised_bytes || advised == head->base));
        }
        bid_destroy(table);
    }
}

/* ---------------------------------------------------------------------------------------------- given back -- */

static int grow_inside(void *argument, uint64_t key, int status, const struct bid_build_id *id)
{
    (void)key, (void)status, (void)id;
    CHECK_STATUS(bid_reserve(argument, 100000), BID_OK);
    return 1;
}

/* A table that goes while an array of its waits, and tables that could not be made. */
static void make_and_break(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    CHECK_STATUS(insert(table, 1, 1, 20), BID_OK);
    CHECK(bid_iterate(table, grow_inside, table) == 1 && statistics(table).retired_arrays == 1);
    bid_destroy(table);
    for (uint64_t pages = 0; pages < 40; pages += 5) {
        struct bid_options options = {.size = sizeof options, .expected_entries = 1000};
        rlim_t most = (mapped_pages() + pages) * bid_platform_page();
        struct rlimit before;
        CHECK(getrlimit(RLIMIT_AS, &before) == 0);
        CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){most, before.rlim_max}) == 0);
        int status = bid_create(&table, &options);
        CHECK(setrlimit(RLIMIT_AS, &before) == 0);
        CHECK_STATUS(status, BID_E_NO_MEMORY);
        bid_destroy(table);
    }
}

static void given_back(void)
{
    make_and_break(); /* the process's pins stay */
    uint64_t before = mapped_pages();
    for (int i = 0; i < 10; i++)
        make_and_break();
    CHECK(mapped_pages() == before);
}

/* ------------------------------------------------------------------------------------------------ used again -- */

/* A descriptor that is used again has nothing of the array that it was of. */
static void descriptors_are_made_anew(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    uint64_t resizes = 0, from_handlers = 0; /* in the resize that is under way */
    for (unsigned i = 0; i < BID_ARRAYS; i++)
        if (bid_load(&table->arrays[i].life, BID_RELAXED) == BID_LIFE_FREE) {
            memset(&table->arrays[i], 0x7f, sizeof table->arrays[i]);
            bid_store(&table->arrays[i].life, BID_LIFE_FREE, BID_RELAXED);
        }
    for (uint64_t i = 0; i < 50000; i++) {
        int status = BID_E_WOULD_ALLOCATE;
        if (bid_resizing(table) && i % 4 == 0)
            status = bid_insert_nmi(table, inode_key(i), 1, "x", 1);
        from_handlers += status == BID_OK;
        CHECK_STATUS(status == BID_OK ? BID_OK : bid_insert(table, inode_key(i), 1, "x", 1), BID_OK);
        if (bid_resizes(table) != resizes) {
            CHECK(from_handlers > 0);
            resizes++;
            from_handlers = 0;
        }
        const struct bid_array *head = bid_head(table);
        CHECK(bid_resizing(table) || (i + 1) * 10 <= bid_array_slots(head) * 7 + 10); /* else one was begun too late */
    }
    CHECK(resizes >= 5 && statistics(table).entries == 50000);
    bid_destroy(table);
}

int main(void)
{
    descriptors_are_made_anew();
    populated_by_touching();
    old_kernel();
    huge_mapping();
    huge_arrays();
    given_back();
    return 0;
}
