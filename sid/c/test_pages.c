/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The pages under a table: locked where that was asked for, not gathered into huge ones later, given back whatever happens. */
#define _GNU_SOURCE
#include "check.h"
#include "update.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuses_to_unmap;

/* In the place of libc's: as if the process had all the mappings that it may have. */
int munmap(void *address, size_t bytes)
{
    if (!refuses_to_unmap)
        return (int)syscall(SYS_munmap, address, bytes);
    errno = ENOMEM;
    return -1;
}

/* Whether the mapping at an address has a flag, as proc(5) names it under VmFlags. */
static int has_flag(const void *address, const char *flag)
{
    char line[512];
    unsigned long from, to, at = (unsigned long)address;
    int here = 0, has = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    CHECK(maps);
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= at && at < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, flag) != NULL;
    }
    fclose(maps);
    return has;
}

static const struct bid_array *head_of(const struct bid_table *table)
{
    return bid_head(table);
}

/* Arrays below, at and above the sizes from which some and all of one lies on huge pages. */
static void not_gathered(void)
{
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) {
        printf("not checked: this kernel has no huge pages\n");
        return;
    }
    for (uint64_t entries = 1000; entries < 1 << 20; entries *= 3) {
        struct bid_table *table = make_table((struct bid_options){.expected_entries = entries, .id_size = 20});
        const struct bid_array *array = head_of(table);
        int all_huge = array->buckets * BID_BUCKET_BYTES >= 16 << 20;
        CHECK(has_flag(array->base, " nh"));
        CHECK(has_flag(bid_record_at(array->base, array->record_capacity - 1), " nh") == !all_huge);
        CHECK(has_flag(bid_record_at(array->base, array->record_capacity - 1), " hg") == all_huge);
        for (uint64_t i = 0; i < entries; i++)
            CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
        bid_destroy(table);
    }
}

static void locked(void)
{
    struct bid_table *table = make_table((struct bid_options){.flags = BID_MLOCK, .id_size = 20});
    CHECK(has_flag(table, " lo") && has_flag(head_of(table)->base, " lo"));
    CHECK(has_flag(table->pins, " lo") && has_flag(table->pins->area, " lo"));
    bid_destroy(table);
}

static void given_back(uint32_t flags)
{
    unsigned char present[64];
    struct bid_table *table = make_table((struct bid_options){.flags = flags, .id_size = 20});
    char *base = head_of(table)->base;
    size_t bytes = head_of(table)->buckets * BID_BUCKET_BYTES, pages = bytes / bid_platform_page();
    CHECK(pages && pages <= sizeof present);
    refuses_to_unmap = 1;
    bid_destroy(table);
    refuses_to_unmap = 0;
    CHECK(mincore(base, bytes, present) == 0);
    for (size_t page = 0; page < pages; page++)
        CHECK(!(present[page] & 1));
}

int main(void)
{
    not_gathered();
    locked();
    given_back(0);
    given_back(BID_MLOCK);
    return 0;
}
