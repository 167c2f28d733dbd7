/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses of another process as (build ID, file offset): normalize PID ADDRESS...
 *
 * Build: cc -O2 -Wall -Wextra normalize.c $(pkg-config --cflags --libs bid) -o normalize
 */
#include <bid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(const struct bid_process_maps *maps, uint64_t address)
{
    const struct bid_process_mapping *mapping = bid_process_maps_find(maps, address);
    if (!mapping) {
        printf("? nothing is mapped at 0x%llx\n", (unsigned long long)address);
    } else if (mapping->elf_status != BID_ELF_OK) {
        const char *problem = bid_process_maps_problem(mapping);
        problem = problem ? problem : mapping->elf_status == BID_ELF_E_IO ? strerror(mapping->errnum) : "no build ID";
        printf("? %s: %s\n", mapping->path, problem);
    } else {
        for (int i = 0; i < mapping->id.length; i++)
            printf("%02x", mapping->id.bytes[i]);
        printf(" 0x%llx %s\n", (unsigned long long)(address - mapping->start + mapping->offset), mapping->path);
    }
}

int main(int count, char **arguments)
{
    struct bid_process_maps *maps;
    if (count < 3) {
        fprintf(stderr, "Usage: normalize PID ADDRESS...\n");
        return 2;
    }
    int status = bid_process_maps_read(&maps, atoi(arguments[1]), BID_PROCESS_AUTO);
    if (status != BID_PROCESS_OK) {
        fprintf(stderr, "normalize: process %s: %s\n", arguments[1], bid_process_status_text(status));
        return 1;
    }
    for (int i = 2; i < count; i++)
        print(maps, strtoull(arguments[i], NULL, 16));
    bid_process_maps_free(maps);
    return 0;
}
